SELECT t.uuid
FROM (
    SELECT key, start_at FROM task_state
    WHERE status = 0 AND start_at <= $1
    ORDER BY start_at, key
    LIMIT $2
) s JOIN tasks t ON t.key = s.key
ORDER BY s.start_at, s.key
