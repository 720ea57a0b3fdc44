"""A log line cannot act on the reader's terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystead.base.text import neutral


@pytest.mark.parametrize(
    "foreign, shown",
    [
        ("plain é 漢 🎉\ttab", "plain é 漢 🎉\ttab"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),
        ("\x1b]52;c;aGk=\x1b\\", r"\x1b]52;c;aGk=\x1b\\"[:-1]),
        ("10%\r20%\r", r"10%\x0d20%"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("a\nb", r"a\x0ab"),
        ("\x1b[36mblue\x1b[0m", r"\x1b[36mblue\x1b[0m"),
    ],
)
def test_control_characters_are_shown_and_not_sent(foreign: str, shown: str) -> None:
    assert neutral(foreign) == shown


def test_colours_may_pass_and_end_with_the_line() -> None:
    assert neutral("\x1b[1;36mblue", colours=True) == "\x1b[1;36mblue\x1b[0m"
    assert neutral("\x1b[36mblue\x1b[2J", colours=True) == "\x1b[36mblue\\x1b[2J\x1b[0m"
    assert neutral("plain", colours=True) == "plain"


@given(st.text())
def test_nothing_but_printable_text_and_tabs_is_left(text: str) -> None:
    assert not any((c < " " and c != "\t") or "\x7f" <= c < "\xa0" for c in neutral(text))
