SELECT kind, id, count FROM counters
