SELECT key FROM workers WHERE machine_id = ?1
