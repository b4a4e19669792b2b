INSERT INTO duties AS d (name, holder, until)
VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE d.holder = excluded.holder OR d.until < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
RETURNING name
