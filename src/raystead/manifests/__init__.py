"""(spec, facts) -> Kubernetes objects; one module per kind. Pure."""
