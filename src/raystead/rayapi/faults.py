"""What happened to a request to Ray that got no answer, in words for people."""

from __future__ import annotations

import httpx

__all__ = ["words_of"]

# The first that fits counts: a kind stands before what it is a kind of.
_WORDS: tuple[tuple[type[httpx.HTTPError], str], ...] = (
    (httpx.ConnectTimeout, "no connection in time"),
    (httpx.ReadTimeout, "no answer in time"),
    (httpx.WriteTimeout, "what was sent was not accepted in time"),
    (httpx.PoolTimeout, "no connection was free in time"),
    (httpx.ConnectError, "no connection"),
    (httpx.ReadError, "the connection broke before the answer was whole"),
    (httpx.WriteError, "the connection broke while the request was sent"),
    (httpx.CloseError, "the connection broke while it was closed"),
    (httpx.RemoteProtocolError, "the connection was closed before the answer was whole, or it is not HTTP"),
    (httpx.LocalProtocolError, "the request cannot be sent as HTTP: is the token one line of plain text?"),
    (httpx.DecodingError, "the answer is damaged"),
)


def words_of(error: Exception) -> str:
    """A few words; never the exception's own, which may hold what was sent."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "no answer that can be read")
