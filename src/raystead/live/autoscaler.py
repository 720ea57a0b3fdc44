"""Ray's autoscaler as it says itself: what it has, what is asked for, and why it does not grow.

Its words are those of `ray status`, which the dashboard gives for both of Ray's autoscalers; their form is
the same from Ray 2.4 to 2.60.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from raystead.base import quantities
from raystead.base.groups import worker

if TYPE_CHECKING:
    from raystead.live.groups import Group
    from raystead.spec.model import Json, RayCluster, WorkerGroup

__all__ = ["AutoscalerReport", "Demand", "Obstacle", "obstacles", "report_of", "shape_of"]

_SECTIONS = {
    "Active:": "active",
    "Idle:": "idle",
    "Pending:": "pending",
    "Recent failures:": "failures",
    "From request_resources:": "requested",
    "Pending Demands:": "demands",
}
_BUNDLE = re.compile(r"(\{[^{}]*\})(?: \* (\d+))?")
_COUNT = re.compile(r": (\d+)\+? (?:from|pending)")
_NODES = re.compile(r"(\d+) (\S+)$")
_UNKNOWN = ("node:", "accelerator_type:")  # resources that a node has by itself: no spec tells them
_HEAD = "headgroup"


class Demand(Struct, frozen=True):
    """Something that waits for a place, or is kept in reserve by request_resources.

    Attributes:
        kind: `tasks or actors`, `placement groups`, `request_resources`.
        shapes: resources of each bundle: one, or those of a placement group, with how many there are of it.
    """

    kind: str
    count: int
    shapes: tuple[tuple[Mapping[str, float], int], ...]

    def __str__(self) -> str:
        parts = [_shape(shape) + (f" x {times}" if times > 1 else "") for shape, times in self.shapes]
        return f"{self.count} x {' + '.join(parts)} ({self.kind})"


class AutoscalerReport(Struct, frozen=True):
    """What Ray's autoscaler says.

    Attributes:
        active, idle: nodes by group, the head left out.
        pending, failures: its own words, a line each.
        demands: what waits for a place; `requested`: by request_resources.
        idle_seconds: by pod, how long it has been idle, where that was asked.
    """

    active: Mapping[str, int] = field(default_factory=dict)
    idle: Mapping[str, int] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    demands: tuple[Demand, ...] = ()
    requested: tuple[Demand, ...] = ()
    idle_seconds: Mapping[str, float] = field(default_factory=dict)


class Obstacle(Struct, frozen=True):
    """Why a demand stays unmet, as far as the spec tells.

    Attributes:
        kind: `infeasible`: no group's worker is large enough; `maximum`: those that are have their most.
        shape: the bundle that has no place.
        groups: of `maximum`, the groups that could take it, with how many workers they have.
    """

    kind: str
    demand: Demand
    shape: Mapping[str, float]
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def needed(self) -> str:
        """The worker that would do, in words."""
        return _shape(self.shape)


def report_of(text: str) -> AutoscalerReport | None:
    """Reads the words of `ray status`; None where the autoscaler has not said anything yet."""
    parts: dict[str, list[str]] = {name: [] for name in _SECTIONS.values()}
    section = ""
    for line in text.splitlines():
        if line.strip() in _SECTIONS:
            section = _SECTIONS[line.strip()]
        elif not line.startswith(" "):
            section = ""
        elif section and not line.strip().startswith(("(no ", "(none)")):
            parts[section].append(line.strip())
    if "Active:" not in text:
        return None
    return AutoscalerReport(
        active=_nodes(parts["active"]),
        idle=_nodes(parts["idle"]),
        pending=tuple(parts["pending"]),
        failures=tuple(parts["failures"]),
        demands=tuple(_demands(parts["demands"])),
        requested=tuple(_demands(parts["requested"])),
    )


def shape_of(group: WorkerGroup) -> dict[str, float]:
    """The logical resources of one worker, as Ray's autoscaler counts them from the file."""
    params = group.ray_start_params
    resources: Json = group.template.ray_container.get("resources") or {}
    sizes = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    out: dict[str, float] = {}
    if "cpu" in sizes:
        out["CPU"] = float(math.ceil(quantities.parse(sizes["cpu"])))
    if "memory" in sizes:
        out["memory"] = float(quantities.parse(sizes["memory"]))
    gpus = [value for name, value in sizes.items() if str(name).endswith("gpu")]
    if gpus:
        out["GPU"] = float(quantities.parse(gpus[0]))
    for name, key in (("num-cpus", "CPU"), ("num-gpus", "GPU"), ("memory", "memory")):
        if name in params:
            out[key] = float(quantities.parse(str(params[name])))
    own = {name: float(quantities.parse(value)) for name, value in group.resources.items()}
    return {**out, **_custom(str(params.get("resources") or "")), **own}


def obstacles(report: AutoscalerReport, cluster: RayCluster, groups: Iterable[Group]) -> list[Obstacle]:
    """Why its demands stay unmet; none for one that only waits for its workers to come."""
    there = {group.id: group for group in groups}
    out: list[Obstacle] = []
    for demand in (*report.demands, *report.requested):
        for shape, _ in demand.shapes:
            fitting = [one for one in cluster.spec.workers if not one.suspend and _fits(shape, shape_of(one))]
            if not fitting:
                if demand in report.demands:  # a request that is met by the head is no obstacle
                    out.append(Obstacle("infeasible", demand, shape))
                continue
            full = []
            for one in fitting:
                group = there.get(worker(one.name))
                if group is not None and group.asked >= group.wanted.most:
                    full.append((one.name, group.asked))
            if demand in report.demands and len(full) == len(fitting):
                out.append(Obstacle("maximum", demand, shape, tuple(full)))
    return out


def _fits(shape: Mapping[str, float], room: Mapping[str, float]) -> bool:
    return all(
        amount <= room.get(name, 0.0) for name, amount in shape.items() if not name.startswith(_UNKNOWN)
    )


def _nodes(lines: Iterable[str]) -> dict[str, int]:
    found = (_NODES.match(line) for line in lines)
    return {match.group(2): int(match.group(1)) for match in found if match and match.group(2) != _HEAD}


def _demands(lines: Iterable[str]) -> Iterator[Demand]:
    for line in lines:
        count = _COUNT.search(line)
        shapes = tuple((shape, times) for shape, times in _bundles(line.rpartition(": ")[0] or line) if shape)
        if not count or not shapes:
            continue
        kind = "tasks or actors"
        if "request_resources" in line:
            kind = "request_resources"
        elif "placement groups" in line and "tasks/actors" not in line:
            kind = "placement groups"
        yield Demand(kind, int(count.group(1)), shapes)


def _bundles(text: str) -> Iterator[tuple[Mapping[str, float], int]]:
    for match in _BUNDLE.finditer(text):
        try:
            found = ast.literal_eval(match.group(1))
        except (ValueError, SyntaxError):
            continue
        if isinstance(found, dict):
            yield {str(key): float(value) for key, value in found.items()}, int(match.group(2) or 1)


def _custom(text: str) -> dict[str, float]:
    """`resources` of rayStartParams: JSON, sometimes in quotes of a shell."""
    try:
        found = json.loads(text.strip().strip("'\"").replace('\\"', '"')) if text else {}
        return {str(key): float(value) for key, value in found.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def _shape(shape: Mapping[str, float]) -> str:
    parts = []
    for name, amount in shape.items():
        if name in ("memory", "object_store_memory"):
            parts.append(f"{name} {quantities.short_bytes(amount)}")
        else:
            parts.append(f"{amount:g} {name}")
    return ", ".join(parts) or "nothing"
