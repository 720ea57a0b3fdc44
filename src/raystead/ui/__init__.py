"""Renderers of events and tables: plain, and rich on a terminal."""
