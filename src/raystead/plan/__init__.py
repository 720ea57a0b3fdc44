"""Pure: what `up` would do to the objects of a cluster, and what that costs."""
