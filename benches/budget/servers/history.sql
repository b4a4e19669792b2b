-- The one task that is there, finished, as :copies more.
CREATE TEMP TABLE copies AS
    SELECT t.key AS source, nextval('task_keys') AS key, t.created_at - n * 1000 AS at FROM tasks t, generate_series(1, :copies) n;
INSERT INTO tasks
    SELECT c.key, (lpad(to_hex(c.at / 1000), 12, '0') || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14, 15) || '0000')::uuid,
        user_id, task_type, priority, created_at, summary, checkpoint_frequency, privacy, tool_preferences, requires, metadata,
        requirements, description, deferred_steps
    FROM copies c JOIN tasks t ON t.key = c.source;
INSERT INTO task_state
    SELECT c.key, status, total, completed, failed, cancelled, running, seq, started_at, completed_at, updated_at, start_at, error
    FROM copies c JOIN task_state s ON s.key = c.source;
INSERT INTO subtasks
    SELECT c.key << 14 | (s.key & 16383), state, lane, rank, due_at, worker, changing, head, name, output
    FROM copies c JOIN subtasks s ON s.key >> 14 = c.source;
INSERT INTO events
    SELECT c.key << 30 | (e.key & 1073741823), packed FROM copies c JOIN events e ON e.key >> 30 = c.source;
INSERT INTO counters
    SELECT kind, id, 4096, sum(count) * :copies FROM counters WHERE kind < 2 GROUP BY kind, id HAVING sum(count) <> 0;
VACUUM ANALYZE;
