"""Others' queues, each a program that fills its own, works it off, and prints a line of JSON.

They run in .venv-bench, by requirements-bench.lock, and know nothing of smsqueue.
"""
