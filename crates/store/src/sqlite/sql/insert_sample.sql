INSERT INTO worker_samples (worker, at, cpu_percent, memory_percent, disk_percent) VALUES (?1, ?2, ?3, ?4, ?5)
