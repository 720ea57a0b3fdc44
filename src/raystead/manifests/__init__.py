"""(spec, facts) -> Kubernetes objects; one module a kind. Pure."""
