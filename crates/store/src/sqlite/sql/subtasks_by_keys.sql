SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name
FROM json_each(?1) k CROSS JOIN subtasks s ON s.key = k.value
