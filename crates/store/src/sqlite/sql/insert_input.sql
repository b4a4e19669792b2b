INSERT INTO subtask_inputs (key, input) VALUES (?1, ?2)
