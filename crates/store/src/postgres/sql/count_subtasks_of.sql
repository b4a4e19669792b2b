SELECT state, lane, count(*) FROM subtasks WHERE key BETWEEN $1 AND $2 GROUP BY state, lane
