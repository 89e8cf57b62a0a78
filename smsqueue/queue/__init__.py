"""A job queue in database tables: rows, time and processes, and nothing of what the jobs are about."""
