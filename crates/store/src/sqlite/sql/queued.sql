SELECT s.key, s.state, s.lane, s.rank, s.changing
FROM task_state t CROSS JOIN subtasks s ON s.key BETWEEN (t.key << 14) AND (t.key << 14) + 16383
WHERE t.status BETWEEN 1 AND 3 AND s.state BETWEEN 1 AND 3
