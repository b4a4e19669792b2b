SELECT nextval('worker_keys')
