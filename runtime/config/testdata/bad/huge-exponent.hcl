concurrency = 1e9999
