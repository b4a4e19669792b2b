SELECT t.key, t.uuid, t.user_id, t.task_type, t.priority, t.created_at, t.summary, s.status, s.total, s.completed, s.failed,
    s.cancelled, s.running, s.seq, s.started_at, s.completed_at, s.updated_at, s.start_at, s.error
FROM task_state s JOIN tasks t ON t.key = s.key
WHERE s.key = ANY(ARRAY(
    SELECT r.key >> 14
    FROM unnest($1::bigint[]) l CROSS JOIN LATERAL (
        SELECT key, rank FROM subtasks WHERE state = 1 AND lane = l ORDER BY rank, key LIMIT $2
    ) r
    ORDER BY r.rank, r.key
    LIMIT $2
))
ORDER BY s.key
FOR UPDATE OF s SKIP LOCKED
