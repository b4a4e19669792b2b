SELECT key, due_at FROM subtasks WHERE due_at IS NOT NULL ORDER BY due_at, key LIMIT $1
