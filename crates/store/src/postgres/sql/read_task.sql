SELECT t.key, t.uuid, t.user_id, t.task_type, t.priority, t.created_at, t.summary, s.status, s.total, s.completed, s.failed,
    s.cancelled, s.running, s.seq, s.started_at, s.completed_at, s.updated_at, s.start_at, s.error, t.checkpoint_frequency, t.privacy, t.tool_preferences, t.requires, t.metadata, t.requirements,
    t.description, t.deferred_steps
FROM tasks t JOIN task_state s ON s.key = t.key
WHERE t.uuid = $1
