SELECT count(*) FROM (
    SELECT 1
    FROM tasks t CROSS JOIN task_state s ON s.key = t.key
    WHERE t.description LIKE ?1 ESCAPE '\' AND (?2 IS NULL OR s.status = ?2) AND (?3 IS NULL OR t.task_type = ?3)
    LIMIT ?4
)
