INSERT INTO events (key, packed)
SELECT * FROM unnest($1::bigint[], $2::bytea[])
