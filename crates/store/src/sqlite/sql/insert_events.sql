INSERT INTO events (key, records, packed) VALUES (?1, '', ?2)
