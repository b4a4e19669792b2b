SELECT key FROM lanes WHERE canonical = $1
