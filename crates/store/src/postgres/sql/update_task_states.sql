UPDATE task_state s
SET status = u.status, total = u.total, completed = u.completed, failed = u.failed, cancelled = u.cancelled,
    running = u.running, seq = u.seq, started_at = u.started_at, completed_at = u.completed_at, updated_at = u.updated_at,
    start_at = u.start_at, error = u.error
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[])
    AS u (key, status, total, completed, failed, cancelled, running, seq, started_at, completed_at, updated_at, start_at, error)
WHERE s.key = u.key
