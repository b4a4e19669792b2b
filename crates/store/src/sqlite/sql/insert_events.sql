INSERT INTO events (key, records) VALUES (?1, ?2)
