DELETE FROM subtask_texts WHERE key IN (SELECT key FROM subtask_texts WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3)
