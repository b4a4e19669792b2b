SELECT t.key, t.uuid, t.user_id, t.task_type, t.priority, t.created_at, t.summary, s.status, s.total, s.completed, s.failed,
    s.cancelled, s.running, s.seq, s.started_at, s.completed_at, s.updated_at, s.start_at, s.error
FROM task_state s JOIN tasks t ON t.key = s.key
WHERE s.key = ANY($1)
ORDER BY s.key
FOR UPDATE OF s
