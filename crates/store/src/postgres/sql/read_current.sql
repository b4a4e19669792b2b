SELECT s.key, t.uuid, s.name
FROM subtasks s JOIN tasks t ON t.key = (s.key >> 14)
WHERE s.state = 3 AND s.worker = $1
ORDER BY s.key
