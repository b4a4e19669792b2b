INSERT INTO counters (kind, id, count) VALUES (?1, ?2, ?3)
ON CONFLICT (kind, id) DO UPDATE SET count = count + excluded.count
