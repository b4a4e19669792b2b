SELECT key, profile FROM worker_profiles WHERE key = ANY($1)
