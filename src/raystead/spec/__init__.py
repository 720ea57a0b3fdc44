"""KubeRay's YAML as frozen values, with all problems of a file at once. Pure."""
