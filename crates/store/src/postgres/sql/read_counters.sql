SELECT kind, id, sum(count)::bigint FROM counters WHERE kind < 2 GROUP BY kind, id
