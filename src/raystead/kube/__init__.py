"""The door to the API server: who we are, requests, watches, streams. Knows nothing of Ray.

`Api` speaks raw JSON over the official client's connections; the official client's models are never built.
"""
