SELECT s.key, s.state, s.lane, s.rank, s.worker, s.changing, s.head, s.name
FROM unnest($1::bigint[]) b CROSS JOIN LATERAL (SELECT * FROM subtasks WHERE key BETWEEN b AND b + $2::bigint) s
