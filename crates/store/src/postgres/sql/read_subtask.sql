SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name,
    coalesce(x.description, s.name || ': ' || t.summary), x.input, s.output
FROM subtasks s LEFT JOIN subtask_texts x ON x.key = s.key LEFT JOIN tasks t ON t.key = s.key >> 14
WHERE s.key = $1
