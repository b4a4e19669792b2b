INSERT INTO task_state (key, status, total, completed, failed, cancelled, running, seq, started_at, completed_at, updated_at, start_at, error)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[])
