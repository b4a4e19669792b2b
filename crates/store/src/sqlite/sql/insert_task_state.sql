INSERT INTO task_state (key, status, total, completed, failed, cancelled, running, seq, started_at, completed_at,
    updated_at, start_at, error)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
