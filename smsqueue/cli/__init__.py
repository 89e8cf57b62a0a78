"""Commands, at the terminal and in cron; `group.py` lists them, and a worker loads only its own."""
