SELECT body FROM relay WHERE id = $1
