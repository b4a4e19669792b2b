SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name
FROM subtasks s
WHERE s.key BETWEEN $1 AND $2 AND s.state IN (1, 2)
ORDER BY s.key
LIMIT $3
