SELECT i.scope, i.name, i.body, i.tasks, i.at
FROM unnest($1::text[], $2::text[]) AS u (scope, name) JOIN idempotency i ON i.scope = u.scope AND i.name = u.name
