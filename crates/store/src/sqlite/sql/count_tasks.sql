SELECT coalesce(sum(count), 0) FROM counters
WHERE kind = 0 AND (?1 IS NULL OR id / 256 = ?1) AND (?2 IS NULL OR id % 256 = ?2)
