SELECT attempt, worker_uuid, tool, started_at, ended_at, outcome, error, exit_code
FROM attempts
WHERE subtask = $1
ORDER BY attempt
