SELECT key, description, input FROM subtask_texts WHERE key = ANY($1)
