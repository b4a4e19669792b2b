SELECT key FROM subtasks WHERE key BETWEEN ?1 AND ?2 AND state < 4 ORDER BY key
