DELETE FROM subtask_inputs WHERE key BETWEEN ?1 AND ?2
