"""The local place: the same spec as real Ray processes on this Linux machine."""
