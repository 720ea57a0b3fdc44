"""The bytes of a file as text: UTF-8, or UTF-16 as PowerShell's `>` writes it."""

from __future__ import annotations

import codecs
import re

from raystead.spec.problems import Problem, problems_error

__all__ = ["MAX_BYTES", "decode"]

MAX_BYTES = 16 * 2**20  # etcd takes objects of 1.5 MB; the largest list of clusters is smaller than this
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED = ((b"\x1f\x8b", "a gzip"), (b"PK\x03\x04", "a zip"), (b"\xfd7zXZ\0", "an xz"), (b"BZh", "a bzip2"))
_MARK = re.compile("^\ufeff+", re.MULTILINE)  # before each document, where files were put together
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def decode(data: bytes, filename: str) -> str:
    """The text of a spec file.

    Raises:
        SpecError: it is neither UTF-8 nor UTF-16, or larger than any spec (`MAX_BYTES`).
    """
    if len(data) > MAX_BYTES:
        raise _refused(filename, 1, 1, f"the file has {len(data) / 2**20:.0f} MiB, a spec has a few KiB")
    if packed := next((what for mark, what in _PACKED if data.startswith(mark)), None):
        raise _refused(filename, 1, 1, f"this is {packed} file, not YAML", "unpack it first")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:  # JSON and YAML begin with an ASCII character, so its other byte is 0
        encoding = {b"\0": "utf-16-be"}.get(data[:1]) or {b"\0": "utf-16-le"}.get(data[1:2], "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        what = f"this byte (0x{data[error.start]:02x}) is not {encoding.removesuffix('-sig').upper()} text"
        raise _refused(filename, line, column, what, "save the file as UTF-8") from None
    text = _MARK.sub("", text)
    return _paired(text) if text.lstrip()[:1] in ("{", "[") else text


def _paired(text: str) -> str:
    """JSON writes characters beyond U+FFFF as two escapes, which YAML does not know."""
    return _PAIR.sub(lambda m: chr(0x10000 + (int(m[1], 16) - 0xD800) * 0x400 + int(m[2], 16) - 0xDC00), text)


def _refused(filename: str, line: int, column: int, what: str, instead: str = "") -> Exception:
    return problems_error([Problem(filename, line, column, "", what, instead)])
