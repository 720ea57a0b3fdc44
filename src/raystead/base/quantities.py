"""Kubernetes quantities ("500m", "2Gi") as exact numbers."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_FORM = re.compile(
    r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,9}|[numkMGTPE]|[KMGTPE]i)?$", re.ASCII
)
_MAX = 2**63 - 1  # Kubernetes keeps a quantity in 64 bits
_MIN = Decimal("1e-9")
_SUFFIX = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def parse(quantity: str | int | float) -> Decimal:
    """The exact value of a quantity in its base unit (cores, bytes, pieces).

    Raises:
        ValueError: the text is not a Kubernetes quantity; the message is a sentence.
    """
    match = _FORM.match(str(quantity).strip()) if not _is_long(quantity) else None
    if not match:
        raise ValueError(f'"{_short(quantity)}" is not a valid quantity; write for example 2, 0.5 or 4Gi')
    number, suffix = match.groups()
    value = Decimal(number + suffix) if suffix and suffix not in _SUFFIX else Decimal(number)
    if value and not -40 < value.adjusted() < 40:  # beyond any suffix; Decimal would overflow or round to 0
        value, suffix = Decimal("1e-9" if value.adjusted() < 0 else "1e40").copy_sign(value), ""
    value *= _SUFFIX.get(suffix, Decimal(1))
    if abs(value) > _MAX:
        raise ValueError(f'"{_short(quantity)}" is more than Kubernetes can count')
    if value and abs(value) < _MIN:
        return _MIN.copy_sign(value)  # as Kubernetes does: rounded away from zero
    return value


def suffix_of(quantity: str | int | float) -> str:
    """The suffix of a valid quantity as it was typed: "Gi", "m", "e3", or ""."""
    match = _FORM.match(str(quantity).strip())
    return (match[2] or "") if match else ""


def _is_long(quantity: str | int | float) -> bool:
    """Too long to be a number that anybody means; Python refuses to print an int of over 4,300 digits."""
    return abs(quantity) > 10**60 if isinstance(quantity, int) else len(str(quantity)) > 60


def _short(quantity: str | int | float) -> str:
    if _is_long(quantity):
        return f"{str(quantity)[:20]}…" if isinstance(quantity, str) else "a very long number"
    return str(quantity)


def ceil(quantity: str | int | float) -> int:
    """The value rounded up to a whole number, as Kubernetes' Quantity.Value() does (500m is 1)."""
    return int(parse(quantity).to_integral_value(rounding=ROUND_CEILING))


def millis(value: Decimal) -> str:
    """CPU cores as the shortest quantity: 1, 1500m."""
    thousandths = int((value * 1000).to_integral_value(rounding=ROUND_CEILING))
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def binary(value: int) -> str:
    """Bytes as the largest binary suffix that is exact: 8Gi, 1536Mi, 12345."""
    for suffix in ("Ti", "Gi", "Mi", "Ki"):
        unit = int(_SUFFIX[suffix])
        if value and value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)


def human_bytes(value: float) -> str:
    """Bytes for people: 12.4 MB, 2.0 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def short_bytes(value: float, unit: str = "") -> str:
    """Bytes with at most one decimal: 2 GB, 1.2 GB, 512 MB; in `unit` (without naming it) when given."""
    sizes = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    named = unit or next((u for u in reversed(sizes) if value >= 0.9995 * sizes[u]), "B")
    number = f"{value / sizes[named]:.1f}".removesuffix(".0")
    return number if unit else f"{number} {named}"
