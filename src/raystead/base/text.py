"""Text from elsewhere (logs, programs in pods) made harmless for a terminal."""

from __future__ import annotations

import re

__all__ = ["FOREIGN", "RESET", "neutral", "plural", "shown"]

# Colours alone cannot move the cursor, change the title, write to the clipboard or answer for the user.
_COLOUR = r"\x1b\[[0-9;:]*m"
# C0 but tab, DEL, C1; and the marks that reorder what one reads (bidirectional controls).
_CONTROL = "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_ANY = re.compile(_CONTROL)
# A colour, or one control character.
FOREIGN = re.compile(f"{_COLOUR}|{_CONTROL}")
RESET = "\x1b[0m"


def neutral(text: str, *, colours: bool = False) -> str:
    r"""One line with every control character shown instead of sent: ESC as \x1b, and so on; tabs stay.

    Args:
        text: a line without its line feed; a carriage return at its end is dropped.
        colours: let sequences pass that only colour, and end them with the line.
    """
    text = text.rstrip("\r\n")
    if text.isprintable():
        return text
    if not colours:
        return _ANY.sub(shown, text)
    out = FOREIGN.sub(lambda m: m[0] if len(m[0]) > 1 else shown(m), text)
    return out + RESET if "\x1b[" in out else out


def shown(match: re.Match[str]) -> str:
    r"""A control character as people read it: \x1b."""
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def plural(count: int, one: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"
