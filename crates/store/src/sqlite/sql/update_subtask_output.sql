UPDATE subtasks
SET state = ?2, rank = ?3, due_at = ?4, worker = ?5, lease_expires_at = ?6, deps_left = ?7, attempt = ?8, failures = ?9,
    losses = ?10, missed = ?11, epoch = ?12, context_bytes = ?13, avoid_worker = ?14, avoid_until = ?15, progress = ?16,
    queued_at = ?17, started_at = ?18, completed_at = ?19, execution_time = ?20, simulated = ?21, exit_code = ?22,
    session = ?23, worker_uuid = ?24, tool = ?25, error = ?26, output = ?27
WHERE key = ?1
