SELECT pg_advisory_xact_lock(n) FROM unnest($1::bigint[]) n
