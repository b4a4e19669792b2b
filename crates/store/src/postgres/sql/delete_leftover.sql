DELETE FROM leftovers WHERE task = $1
