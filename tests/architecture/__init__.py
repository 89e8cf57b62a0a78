"""Contracts with ourselves: size, imports, packaging, documentation, static files."""
