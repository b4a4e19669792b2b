DELETE FROM idempotency WHERE (scope, name) IN (SELECT scope, name FROM idempotency WHERE at <= ?1 LIMIT ?2)
