"""What a pod asks for, as Kubernetes counts it, in exact numbers."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from raystead.base import quantities
from raystead.spec.model import Json

__all__ = ["Amounts", "effective", "plus", "requests_of", "shown"]

Amounts = dict[str, Decimal]  # resource -> amount in its base unit


def requests_of(container: Json, side: str) -> Amounts:
    """`requests` or `limits` of a container; a missing request is its limit, as on the server."""
    resources = container.get("resources") or {}
    amounts = dict(resources.get(side) or {})
    if side == "requests":
        amounts = {**(resources.get("limits") or {}), **amounts}
    return {name: quantities.parse(value) for name, value in amounts.items()}


def effective(spec: Json, side: str) -> Amounts:
    """What the whole pod asks for: containers and sidecars together, or the hungriest init container.

    Resources of the pod itself (Kubernetes 1.34) go before those of its containers; overhead comes on top.
    """
    total = plus(requests_of(c, side) for c in spec.get("containers") or [])
    peak: Amounts = {}
    sidecars: Amounts = {}
    for container in spec.get("initContainers") or []:
        own = requests_of(container, side)
        if container.get("restartPolicy") == "Always":
            sidecars = plus([sidecars, own])
            own = {}
        peak = _most(peak, plus([sidecars, own]))
    total = _most(plus([total, sidecars]), peak)
    if spec.get("resources"):
        total.update(requests_of({"resources": spec["resources"]}, side))
    overhead = {name: quantities.parse(value) for name, value in (spec.get("overhead") or {}).items()}
    if side == "limits":
        overhead = {name: value for name, value in overhead.items() if name in total}
    return plus([total, overhead])


def plus(amounts: Iterable[Amounts]) -> Amounts:
    out: Amounts = {}
    for one in amounts:
        for name, value in one.items():
            out[name] = out.get(name, Decimal(0)) + value
    return out


def shown(resource: str, value: Decimal) -> str:
    """An exact quantity as people write it: 1.5 of a CPU, 8Gi, 3."""
    if resource == "cpu" or resource.endswith(".cpu"):
        return f"{value.quantize(Decimal('0.001')).normalize():f}"
    whole = int(value)
    ways = [quantities.binary(whole)]
    ways += [f"{whole // u}{s}" for s, u in (("G", 10**9), ("M", 10**6)) if whole and whole % u == 0]
    return min(ways, key=len)


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {n: max(one.get(n, Decimal(0)), other.get(n, Decimal(0))) for n in {**one, **other}}
