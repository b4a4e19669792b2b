INSERT INTO counters (kind, id, count) VALUES (?1, ?2, ?3)
