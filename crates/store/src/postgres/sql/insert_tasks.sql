INSERT INTO tasks (key, uuid, user_id, task_type, priority, created_at, summary, checkpoint_frequency, privacy,
    tool_preferences, requires, metadata, requirements, description, deferred_steps)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::smallint[], $5::smallint[], $6::bigint[], $7::text[],
    $8::smallint[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
