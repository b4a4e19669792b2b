DELETE FROM worker_profiles WHERE key = ANY($1)
