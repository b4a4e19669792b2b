SELECT body, tasks, at FROM idempotency WHERE scope = ?1 AND name = ?2
