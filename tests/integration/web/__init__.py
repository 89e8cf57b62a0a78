"""Pages, tested with a client that has no scripts."""
