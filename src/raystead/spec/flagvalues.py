"""What the text of a flag means: quantities, pairs, labels, mounts, tolerations."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from raystead.base.labels import is_label
from raystead.base.quantities import parse
from raystead.spec.problems import Problem

__all__ = ["FlagValues"]


class FlagValues:
    """Reads the texts of flags; one that makes no sense is None, and a problem.

    Attributes:
        problems: all of them, in the order in which they were found.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def problem(self, flag: str, what: str, instead: str = "") -> None:
        self.problems.append(Problem("flags", 0, 0, f"--{flag}", what, instead))

    def quantity(self, flag: str, text: str) -> Decimal | None:
        """`500m`, `8Gi`: cores or bytes, more than 0."""
        try:
            value = parse(text)
        except ValueError as error:
            self.problem(flag, str(error))
            return None
        if value <= 0:
            self.problem(flag, f"{text} is not more than 0")
            return None
        return value

    def pair(self, flag: str, text: str) -> tuple[Decimal, Decimal] | None:
        """`CPU,MEM`: cores and bytes."""
        parts = text.split(",")
        if len(parts) != 2:
            self.problem(flag, f'"{text}" is not CPU,MEM', "for example 8,32Gi")
            return None
        cpu, memory = (self.quantity(flag, part) for part in parts)
        return None if cpu is None or memory is None else (cpu, memory)

    def key_value(self, flag: str, text: str) -> tuple[str, str] | None:
        """`K=V`."""
        key, equals, value = text.partition("=")
        if not equals or not key:
            # The text is not repeated: it may be a secret typed in the wrong place.
            self.problem(flag, "one of them has no = or no name", "K=V")
            return None
        return key, value

    def label(self, flag: str, text: str) -> tuple[str, str] | None:
        """`K=V` that Kubernetes takes as a label."""
        pair = self.key_value(flag, text)
        if pair is not None and not is_label(*pair):
            self.problem(
                flag, f'"{text}" is not a valid label', "letters, digits, - _ . and 63 characters at most"
            )
            return None
        return pair

    def mount(self, text: str) -> tuple[str, str] | None:
        """`CLAIM:/path`."""
        claim, colon, path = text.partition(":")
        if not colon or not claim or not path.startswith("/"):
            self.problem("mount", f'"{text}" is not CLAIM:/path', "data:/data")
            return None
        return claim, path

    def toleration(self, text: str) -> dict[str, Any] | None:
        """`key[=value][:Effect]`, as in a pod's spec."""
        rest, _, effect = text.partition(":")
        key, equals, value = rest.partition("=")
        if not key or effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            self.problem("toleration", f'"{text}" is not key[=value][:Effect]', "gpu=true:NoSchedule")
            return None
        out = (
            {"key": key, "operator": "Equal", "value": value}
            if equals
            else {"key": key, "operator": "Exists"}
        )
        return {**out, "effect": effect} if effect else out
