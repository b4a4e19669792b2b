DELETE FROM task_state WHERE key = $1
