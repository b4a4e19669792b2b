SELECT t.key, t.uuid, t.user_id, t.task_type, t.priority, t.created_at, t.summary, s.seq
FROM tasks t JOIN task_state s ON s.key = t.key
WHERE t.uuid = $1
