INSERT INTO leftovers (task) VALUES ($1)
