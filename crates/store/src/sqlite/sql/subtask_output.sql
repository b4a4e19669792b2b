SELECT name, output FROM subtasks WHERE key = ?1
