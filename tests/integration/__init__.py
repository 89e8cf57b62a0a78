"""Several parts together, on each database."""
