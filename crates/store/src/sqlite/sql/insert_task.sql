INSERT INTO tasks (key, uuid, user_id, task_type, priority, created_at, summary, checkpoint_frequency, privacy,
    tool_preferences, requires, metadata, requirements, description, deferred_steps)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
