DELETE FROM workers WHERE key = ?1
