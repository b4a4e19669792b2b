INSERT INTO subtasks (key, state, lane, rank, due_at, worker, changing, head, name)
SELECT u.key, u.state, u.lane, u.rank, u.due_at, u.worker, u.changing, u.head, u.name
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[],
    $9::text[]) AS u (key, state, lane, rank, due_at, worker, changing, head, name)
