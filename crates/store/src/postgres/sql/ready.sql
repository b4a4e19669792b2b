SELECT r.key
FROM unnest($1::bigint[]) l CROSS JOIN LATERAL (
    SELECT key, rank FROM subtasks WHERE state = 1 AND lane = l ORDER BY rank, key LIMIT $2
) r
ORDER BY r.rank, r.key
LIMIT $2
