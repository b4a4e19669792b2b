SELECT id, count FROM counters WHERE kind = 2 AND count > 0 ORDER BY id
