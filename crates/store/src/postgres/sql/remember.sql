INSERT INTO idempotency (scope, name, body, tasks, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, name) DO UPDATE SET body = excluded.body, tasks = excluded.tasks, at = excluded.at
