INSERT INTO lanes (canonical) VALUES (?1)
