"""raystead: a Ray cluster in the namespace you have."""

__version__ = "0.1.0"
__all__ = ["__version__"]
