INSERT INTO worker_profiles (key, profile, system_info) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET profile = excluded.profile, system_info = excluded.system_info
