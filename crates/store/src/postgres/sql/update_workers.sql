UPDATE workers w
SET session = u.session, slots = u.slots, used = u.used, said = u.said, draining = u.draining, unregistered = u.unregistered,
    uses_leases = u.uses_leases, cpu_percent = u.cpu_percent, memory_percent = u.memory_percent,
    disk_percent = u.disk_percent, current_task = u.current_task, last_heartbeat = u.last_heartbeat, figures = u.figures
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::boolean[],
    $9::boolean[], $10::boolean[], $11::float8[], $12::float8[], $13::float8[], $14::text[], $15::bigint[], $16::bigint[],
    $17::text[])
    AS u (key, uuid, machine_id, session, slots, used, said, draining, unregistered, uses_leases, cpu_percent, memory_percent,
    disk_percent, current_task, last_heartbeat, registered_at, figures)
WHERE w.key = u.key
