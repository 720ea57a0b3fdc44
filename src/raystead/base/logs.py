"""The logger "raystead": a line for each request, for programs that listen to it.

`logging` takes 10 ms to import and a command line needs none of it: nobody listens who has not imported it.
"""

from __future__ import annotations

import sys

__all__ = ["request"]


def request(method: str, target: str, status: int, seconds: float) -> None:
    """One answered request; never a header or a body, and secrets in its address are masked."""
    logging = sys.modules.get("logging")
    if logging is None:
        return
    logger = logging.getLogger("raystead")
    if logger.isEnabledFor(logging.DEBUG):
        from raystead.base.secrets import masked_text

        logger.debug("%s %s %d %.0f ms", method, masked_text(target), status, seconds * 1000)
