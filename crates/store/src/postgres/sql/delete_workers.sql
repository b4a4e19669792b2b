DELETE FROM workers WHERE key = ANY($1)
