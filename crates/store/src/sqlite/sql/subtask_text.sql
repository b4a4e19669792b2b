SELECT s.description, i.input FROM subtasks s LEFT JOIN subtask_inputs i ON i.key = s.key WHERE s.key = ?1
