SELECT t.uuid
FROM task_state s INDEXED BY task_state_start CROSS JOIN tasks t ON t.key = s.key
WHERE s.status = 0 AND s.start_at IS NOT NULL AND s.start_at <= ?1
ORDER BY s.start_at, s.key
LIMIT ?2
