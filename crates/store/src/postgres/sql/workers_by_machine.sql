SELECT key, machine_id FROM workers WHERE machine_id = ANY($1)
