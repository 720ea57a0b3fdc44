"""Use cases: they emit typed events and never print."""
