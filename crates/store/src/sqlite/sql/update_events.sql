UPDATE events SET records = '', packed = ?2 WHERE key = ?1
