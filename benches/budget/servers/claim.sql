-- A subtask claimed and completed, each in a transaction of its own, each noted as an event of its task.
WITH next AS (
    SELECT key FROM subtasks WHERE state = 1 AND lane = 1 ORDER BY rank, key LIMIT 1 FOR UPDATE SKIP LOCKED
), task AS (
    UPDATE task_state t SET status = 2, running = running + 1, seq = seq + 1 FROM next WHERE t.key = next.key >> 14
    RETURNING t.key, t.seq
), event AS (
    INSERT INTO events (key, packed) SELECT key << 30 | seq, decode(repeat('00', 47), 'hex') FROM task
)
UPDATE subtasks s SET state = 3, worker = 1, due_at = 1800000000000000, changing = decode(repeat('00', 60), 'hex')
FROM next WHERE s.key = next.key
RETURNING s.key \gset
WITH task AS (
    UPDATE task_state SET running = running - 1, completed = completed + 1, seq = seq + 1 WHERE key = :key::bigint >> 14
    RETURNING key, seq
), event AS (
    INSERT INTO events (key, packed) SELECT key << 30 | seq, decode(repeat('00', 62), 'hex') FROM task
)
UPDATE subtasks SET state = 4, worker = NULL, due_at = NULL, changing = decode(repeat('00', 79), 'hex'), output = '{"ok": true}'
WHERE key = :key::bigint;
