SELECT key, name, output FROM subtasks WHERE key = ANY($1)
