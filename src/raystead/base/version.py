"""raystead's own version; here, so that lower layers need not import the package's top."""

__version__ = "0.1.0"
# how to get a newer one: it is not on PyPI, where somebody else may take its name
NEWER = "git pull && pip install --upgrade .   in your checkout of raystead"
