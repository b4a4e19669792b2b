SELECT max(at) FROM worker_samples WHERE worker = ?1
