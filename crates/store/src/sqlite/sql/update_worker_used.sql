UPDATE workers SET used = ?2 WHERE key = ?1
