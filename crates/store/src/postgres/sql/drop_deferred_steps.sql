UPDATE tasks SET deferred_steps = NULL WHERE key = ANY($1) AND deferred_steps IS NOT NULL
