"""Ray's HTTP APIs, without the ray package."""
