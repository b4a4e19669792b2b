DELETE FROM subtask_texts WHERE ctid = ANY(ARRAY(SELECT ctid FROM subtask_texts WHERE key BETWEEN $1 AND $2 ORDER BY key LIMIT $3))
