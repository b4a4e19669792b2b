SELECT coalesce(sum(count), 0)::bigint FROM counters
WHERE kind = 0 AND ($1::smallint IS NULL OR id / 256 = $1) AND ($2::smallint IS NULL OR id % 256 = $2)
