DELETE FROM relay WHERE at < clock_timestamp() - make_interval(secs => $1)
