SELECT key, canonical FROM lanes WHERE key > $1 ORDER BY key
