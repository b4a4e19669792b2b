SELECT id, sum(count)::bigint FROM counters WHERE kind = 2 GROUP BY id HAVING sum(count) > 0 ORDER BY id
