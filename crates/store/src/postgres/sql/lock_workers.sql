SELECT w.key, w.uuid, w.session, w.used, w.said, w.draining, w.unregistered, w.uses_leases, w.cpu_percent, w.memory_percent,
    w.disk_percent, w.current_task, w.last_heartbeat, w.registered_at, w.figures
FROM workers w
WHERE w.key = ANY($1)
ORDER BY w.key
FOR UPDATE
