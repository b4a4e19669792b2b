SELECT kind, id, count FROM counters WHERE kind < 2
