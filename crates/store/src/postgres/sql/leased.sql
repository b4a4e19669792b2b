SELECT key FROM subtasks WHERE state = 3 ORDER BY key
