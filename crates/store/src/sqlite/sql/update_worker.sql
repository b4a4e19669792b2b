UPDATE workers
SET session = ?2, slots = ?3, used = ?4, said = ?5, draining = ?6, unregistered = ?7, uses_leases = ?8, cpu_percent = ?9,
    memory_percent = ?10, disk_percent = ?11, current_task = ?12, last_heartbeat = ?13, figures = ?14
WHERE key = ?1
