DELETE FROM attempts WHERE ctid = ANY(ARRAY(SELECT ctid FROM attempts WHERE subtask BETWEEN $1 AND $2 ORDER BY subtask, attempt LIMIT $3))
