SELECT rank, key FROM subtasks WHERE state = 1 AND lane = ?1 ORDER BY rank, key LIMIT ?2
