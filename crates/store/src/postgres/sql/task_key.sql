SELECT key FROM tasks WHERE uuid = $1
