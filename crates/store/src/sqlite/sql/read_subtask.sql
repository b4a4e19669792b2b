SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name, x.description, x.input, s.output
FROM subtasks s JOIN subtask_texts x ON x.key = s.key
WHERE s.key = ?1
