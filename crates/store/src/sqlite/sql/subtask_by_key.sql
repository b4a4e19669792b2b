SELECT s.key, s.state, s.lane, s.rank, s.due_at, s.worker, s.lease_expires_at, s.deps_left, s.attempt, s.failures, s.losses,
    s.missed, s.epoch, s.context_bytes, s.avoid_worker, s.avoid_until, s.progress, s.queued_at, s.started_at,
    s.completed_at, s.execution_time, s.simulated, s.exit_code, s.session, s.worker_uuid, s.tool, s.error, s.complexity,
    s.priority, s.timeout_seconds, s.max_attempts, s.head_start, s.name, s.dependencies, s.dependents
FROM subtasks s
WHERE s.key = ?1
