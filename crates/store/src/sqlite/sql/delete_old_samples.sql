DELETE FROM worker_samples WHERE worker = ?1 AND at <= ?2
