INSERT INTO workers (key, uuid, machine_id, session, slots, used, said, draining, unregistered, uses_leases, cpu_percent,
    memory_percent, disk_percent, current_task, last_heartbeat, registered_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
