SELECT s.key, s.lane, s.state, s.due_at, s.avoid_until, s.attempt, s.failures, s.max_attempts, s.error
FROM json_each(?1) k
CROSS JOIN subtasks s ON s.key = (
    SELECT q.key FROM subtasks q
    WHERE q.key BETWEEN (k.value << 14) AND (k.value << 14) + 16383 AND q.state IN (1, 2)
    ORDER BY q.rank, q.key
    LIMIT 1
)
