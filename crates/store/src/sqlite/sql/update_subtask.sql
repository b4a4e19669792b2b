UPDATE subtasks SET state = ?2, rank = ?3, worker = ?4, changing = ?5 WHERE key = ?1
