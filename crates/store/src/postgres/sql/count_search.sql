SELECT count(*) FROM (
    SELECT 1
    FROM tasks t JOIN task_state s ON s.key = t.key
    WHERE lower(t.description COLLATE "C") LIKE lower($1::text COLLATE "C") AND ($2::smallint IS NULL OR s.status = $2) AND ($3::smallint IS NULL OR t.task_type = $3)
    LIMIT $4
) found
