SELECT key FROM task_state WHERE key > $1 ORDER BY key LIMIT $2
