INSERT INTO logs (key, at, position, level, stale, worker_uuid, message, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
