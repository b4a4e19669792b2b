WITH kept AS (INSERT INTO relay (body) VALUES ($1) RETURNING id)
SELECT pg_notify($2, 'r' || id) FROM kept
