"""raystead's own version; here, so that lower layers need not import the package's face."""

__version__ = "0.1.0"
