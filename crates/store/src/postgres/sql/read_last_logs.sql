SELECT key, at, position, level, stale, worker_uuid, message, metadata
FROM logs
WHERE key > $1 AND key <= $2
ORDER BY key DESC
LIMIT $3
