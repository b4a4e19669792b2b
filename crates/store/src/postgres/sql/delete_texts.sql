DELETE FROM subtask_texts WHERE key BETWEEN $1 AND $2
