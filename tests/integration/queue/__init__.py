"""The queue engine, the same tests on every database."""
