SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name FROM subtasks s WHERE s.key = ANY($1)
