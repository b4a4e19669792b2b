SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name
FROM json_each(?1) k
CROSS JOIN subtasks s ON s.key = (
    SELECT q.key FROM subtasks q
    WHERE q.key BETWEEN (k.value << 14) AND (k.value << 14) + 16383 AND q.state IN (1, 2)
    ORDER BY q.rank, q.key
    LIMIT 1
)
