"""The door to the API server: who we are, requests, watches, streams. Knows nothing of Ray.

`Api` speaks raw JSON; `access` finds and keeps the credentials. docs/adr/0011-access-of-our-own.md says why
both are ours.
"""
