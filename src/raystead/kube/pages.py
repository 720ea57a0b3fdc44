"""Web pages that come instead of JSON: a proxy's, a login's, a hotel's. Pure."""

from __future__ import annotations

import re

__all__ = ["words_of"]

_PAGE = re.compile(r"\s*<(!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_UNSEEN = re.compile(r"<(style|script)\b.*?</\1>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_LONGEST = 200  # characters


def words_of(text: str) -> str | None:
    """What a page says, without its tags; None where the text is not a page."""
    if not _PAGE.match(text):
        return None
    import html

    plain = html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text[:20_000])))
    return " ".join(plain.split())[:_LONGEST].replace("<", "") or "an empty page"
