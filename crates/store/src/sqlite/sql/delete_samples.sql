DELETE FROM worker_samples WHERE worker = ?1
