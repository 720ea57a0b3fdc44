"""Quantities mean what they mean to Kubernetes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from raystead.base import quantities as q


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (2, "2"),
        ("1.5Gi", "1610612736"),
        ("2G", "2000000000"),
        ("1e3", "1000"),
        ("1E", "1000000000000000000"),
        (".5", "0.5"),
        ("100n", "0.0000001"),
    ],
)
def test_parse(text: str | int, value: str) -> None:
    assert q.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1 Gi", "2gb", "1KiB", "abc", "1.2.3", "--1", "1mi"])
def test_nonsense_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid quantity"):
        q.parse(text)


@pytest.mark.parametrize(("text", "whole"), [("500m", 1), ("1", 1), ("1001m", 2), ("0", 0), ("2Gi", 2**31)])
def test_ceil_rounds_up_as_kubernetes_does(text: str, whole: int) -> None:
    assert q.ceil(text) == whole


def test_shortest_forms() -> None:
    assert q.millis(Decimal("1.5")) == "1500m"
    assert q.millis(Decimal(2)) == "2"
    assert q.binary(8 * 2**30) == "8Gi"
    assert q.binary(1536 * 2**20) == "1536Mi"
    assert q.binary(12345) == "12345"
    assert q.human_bytes(12_400_000) == "12.4 MB"
    assert q.human_bytes(2_000_000_000) == "2.0 GB"
    assert q.human_bytes(17) == "17 B"
