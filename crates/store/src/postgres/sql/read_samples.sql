SELECT at, cpu_percent, memory_percent, disk_percent
FROM worker_samples
WHERE worker = $1 AND at > $2
ORDER BY at
