SELECT key, uuid FROM workers WHERE uuid = ANY($1)
