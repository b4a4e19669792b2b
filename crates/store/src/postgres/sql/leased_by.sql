SELECT key FROM subtasks WHERE state = 3 AND worker = $1 ORDER BY key
