UPDATE subtasks s
SET state = u.state, rank = u.rank, due_at = u.due_at, worker = u.worker, changing = u.changing, output = u.output
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[])
    AS u (key, state, rank, due_at, worker, changing, output)
WHERE s.key = u.key
