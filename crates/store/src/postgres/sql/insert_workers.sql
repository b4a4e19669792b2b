INSERT INTO workers (key, uuid, machine_id, session, slots, used, said, draining, unregistered, uses_leases, cpu_percent, memory_percent,
    disk_percent, current_task, last_heartbeat, registered_at, figures)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], $8::boolean[],
    $9::boolean[], $10::boolean[], $11::float8[], $12::float8[], $13::float8[], $14::text[], $15::bigint[], $16::bigint[],
    $17::text[])
