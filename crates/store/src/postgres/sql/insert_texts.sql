INSERT INTO subtask_texts (key, description, input)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
