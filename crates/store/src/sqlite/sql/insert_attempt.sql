INSERT INTO attempts (subtask, attempt, worker_uuid, tool, started_at, ended_at, outcome, error, exit_code)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
