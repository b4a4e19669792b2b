UPDATE counters SET count = count + ?3 WHERE kind = ?1 AND id = ?2
