INSERT INTO logs (key, at, position, level, stale, worker_uuid, message, metadata)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::boolean[], $6::uuid[], $7::text[], $8::text[])
