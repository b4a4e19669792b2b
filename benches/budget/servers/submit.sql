-- What a submission writes, for :tasks tasks of four steps, the first :ready of which can be claimed. Only what Regatta counts
-- beside it is left out. Bytes that Regatta packs are as many as it has there.
WITH new AS (
    SELECT nextval('task_keys') AS key, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
    FROM generate_series(1, :tasks::integer)
), task AS (
    INSERT INTO tasks (key, uuid, user_id, task_type, priority, created_at, summary, checkpoint_frequency, privacy,
        tool_preferences, requires, description)
    SELECT key, (lpad(to_hex(now / 1000), 12, '0') || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14, 15) || '0000')::uuid,
        '00000000-0000-0000-0000-000000000001', 0, 1, now, 'Add a rate limiter to the public API', 1, 0, '[]', '{}',
        'Add a rate limiter to the public API'
    FROM new
), state AS (
    INSERT INTO task_state (key, status, total, completed, failed, cancelled, running, seq, updated_at)
    SELECT key, 1, 4, 0, 0, 0, 0, 1, now FROM new
), event AS (
    INSERT INTO events (key, packed) SELECT key << 30 | 1, decode(repeat('00', 13), 'hex') FROM new
)
-- Ranks are mixed, so that those who claim side by side are seldom in each other's way at a task.
INSERT INTO subtasks (key, state, lane, rank, changing, head, name)
SELECT key << 14 | position, CASE WHEN position < :ready::integer THEN 1 ELSE 0 END, 1, (random() * 1000000)::bigint,
    decode(repeat('00', 19), 'hex'), decode(repeat('00', 15), 'hex'), 'Code Generation'
FROM new CROSS JOIN generate_series(0, 3) AS position;
