SELECT DISTINCT key >> 14 FROM subtasks WHERE state = 3 AND worker = ANY($1)
