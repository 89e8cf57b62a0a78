"""What every Python finds first that has this folder on its PYTHONPATH."""
