INSERT INTO subtasks (key, state, lane, rank, due_at, worker, lease_expires_at, deps_left, attempt, failures, losses,
    missed, epoch, context_bytes, avoid_worker, avoid_until, progress, queued_at, started_at, completed_at,
    execution_time, simulated, exit_code, session, worker_uuid, tool, error, complexity, priority, timeout_seconds,
    max_attempts, head_start, name, dependencies, dependents, description)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36)
