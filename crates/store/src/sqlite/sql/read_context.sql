SELECT s.name, s.output
FROM json_each(?1) k CROSS JOIN subtasks s ON s.key = k.value
WHERE s.state = 4
ORDER BY s.key
