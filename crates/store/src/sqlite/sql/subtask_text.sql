SELECT description, input FROM subtask_texts WHERE key = ?1
