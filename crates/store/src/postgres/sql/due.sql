SELECT key FROM subtasks WHERE due_at <= $1 ORDER BY due_at, key LIMIT $2
