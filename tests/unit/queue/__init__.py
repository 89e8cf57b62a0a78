"""The parts of the queue engine that need no database."""
