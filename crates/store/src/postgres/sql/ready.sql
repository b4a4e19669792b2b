SELECT r.key, r.state, r.lane, r.rank, r.worker, r.changing, r.head, r.name, x.description, x.input
FROM (
    SELECT s.*
    FROM unnest($1::bigint[]) l CROSS JOIN LATERAL (
        SELECT * FROM subtasks WHERE state = 1 AND lane = l ORDER BY rank, key LIMIT $2
    ) s
    ORDER BY s.rank, s.key
    LIMIT $2
) r LEFT JOIN subtask_texts x ON x.key = r.key
ORDER BY r.rank, r.key
