UPDATE task_state
SET status = ?2, total = ?3, completed = ?4, failed = ?5, cancelled = ?6, running = ?7, seq = ?8, started_at = ?9,
    completed_at = ?10, updated_at = ?11, start_at = ?12, error = ?13
WHERE key = ?1
