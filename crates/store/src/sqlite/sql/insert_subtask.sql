INSERT INTO subtasks (key, state, lane, rank, worker, changing, head, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
