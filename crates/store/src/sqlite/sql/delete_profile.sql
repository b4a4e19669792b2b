DELETE FROM worker_profiles WHERE key = ?1
