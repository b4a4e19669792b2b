SELECT t.key, t.uuid, t.user_id, t.task_type, t.priority, t.created_at, t.summary, s.status, s.total, s.completed, s.failed,
    s.cancelled, s.running, s.seq, s.started_at, s.completed_at, s.updated_at, s.start_at, s.error
FROM task_state s JOIN tasks t ON t.key = s.key
WHERE t.key < $1 AND lower(t.description COLLATE "C") LIKE lower($4::text COLLATE "C") AND ($5::smallint IS NULL OR s.status = $5) AND ($6::smallint IS NULL OR t.task_type = $6)
ORDER BY t.key DESC
LIMIT $2 OFFSET $3
