SELECT s.status, s.total, s.completed, s.running, s.failed, s.seq
FROM tasks t JOIN task_state s ON s.key = t.key
WHERE t.uuid = $1
