SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name
FROM unnest($1::bigint[]) k CROSS JOIN LATERAL (
    SELECT * FROM subtasks q
    WHERE q.key BETWEEN (k << 14) AND (k << 14) + 16383 AND q.state IN (1, 2)
    ORDER BY q.rank, q.key
    LIMIT 1
) s
