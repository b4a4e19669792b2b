UPDATE task_state
SET completed = ?2, failed = ?3, cancelled = ?4, running = ?5, seq = ?6, updated_at = ?7
WHERE key = ?1
