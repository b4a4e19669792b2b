DELETE FROM attempts
WHERE (subtask, attempt) IN (SELECT subtask, attempt FROM attempts WHERE subtask BETWEEN ?1 AND ?2 ORDER BY subtask, attempt LIMIT ?3)
