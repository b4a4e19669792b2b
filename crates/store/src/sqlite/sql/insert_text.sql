INSERT INTO subtask_texts (key, description, input) VALUES (?1, ?2, ?3)
