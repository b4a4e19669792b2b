INSERT INTO worker_samples (worker, at, cpu_percent, memory_percent, disk_percent)
SELECT u.worker, u.at, u.cpu_percent, u.memory_percent, u.disk_percent
FROM unnest($1::bigint[], $2::bigint[], $3::float8[], $4::float8[], $5::float8[])
    AS u (worker, at, cpu_percent, memory_percent, disk_percent)
WHERE NOT EXISTS (SELECT 1 FROM worker_samples s WHERE s.worker = u.worker AND s.at > u.at - $6::bigint)
ON CONFLICT DO NOTHING
