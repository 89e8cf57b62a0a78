"""Drills: real processes are killed, frozen, starved and cut off, and the simulator's log says what came of it."""
