INSERT INTO attempts (subtask, attempt, worker_uuid, tool, started_at, ended_at, outcome, error, exit_code)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::smallint[], $8::text[],
    $9::bigint[])
