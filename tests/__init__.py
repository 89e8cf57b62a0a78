"""The tests, in rings: unit, integration, acceptance, contract, architecture, drills."""
