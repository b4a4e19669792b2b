UPDATE events SET records = ?2 WHERE key = ?1
