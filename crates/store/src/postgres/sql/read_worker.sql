SELECT w.key, w.uuid, w.session, w.used, w.said, w.draining, w.unregistered, w.uses_leases, w.cpu_percent, w.memory_percent,
    w.disk_percent, w.current_task, w.last_heartbeat, w.registered_at, w.figures, p.profile, p.system_info
FROM workers w JOIN worker_profiles p ON p.key = w.key
WHERE w.uuid = $1
