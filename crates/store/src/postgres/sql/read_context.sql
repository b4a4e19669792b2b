SELECT name, output FROM subtasks WHERE key = ANY($1) AND state = 4 ORDER BY key
