SELECT n::bigint FROM generate_series(0, 4095) n WHERE pg_try_advisory_lock(7237, n) LIMIT 1
