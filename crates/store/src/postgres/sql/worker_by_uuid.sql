SELECT key FROM workers WHERE uuid = $1
