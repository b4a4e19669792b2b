DELETE FROM worker_samples WHERE worker = ANY($1)
