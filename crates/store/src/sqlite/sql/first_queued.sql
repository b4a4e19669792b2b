SELECT s.key, s.state, s.lane, s.rank, s.due_at, s.worker, s.lease_expires_at, s.deps_left, s.attempt, s.failures, s.losses,
    s.missed, s.epoch, s.context_bytes, s.avoid_worker, s.avoid_until, s.progress, s.queued_at, s.started_at,
    s.completed_at, s.execution_time, s.simulated, s.exit_code, s.session, s.worker_uuid, s.tool, s.error, s.complexity,
    s.priority, s.timeout_seconds, s.max_attempts, s.head_start, s.name, s.dependencies, s.dependents, t.uuid
FROM json_each(?1) k
CROSS JOIN tasks t ON t.key = k.value
CROSS JOIN subtasks s ON s.key = (
    SELECT q.key FROM subtasks q
    WHERE q.key BETWEEN (k.value << 14) AND (k.value << 14) + 16383 AND q.state IN (1, 2)
    ORDER BY q.rank, q.key
    LIMIT 1
)
