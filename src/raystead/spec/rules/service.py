"""The ports of `headService`, which the API server judges by other rules than a container's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.spec.finding import SpecFinding
from raystead.spec.model import RayCluster
from raystead.spec.yamlio import Path

__all__ = ["NOTES", "RULES"]

_NODE_PORTS = range(30000, 32768)  # of an API server that was told nothing else; its dry-run does not say
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def _node_ports(cluster: RayCluster) -> Iterator[SpecFinding]:
    at: Path = ("spec", "headGroupSpec", "headService", "spec", "ports")
    for i, port in enumerate(((cluster.spec.head.head_service or {}).get("spec") or {}).get("ports") or []):
        if (number := port.get("nodePort")) and number not in _NODE_PORTS:
            what = f"nodePort {number} is outside of 30000-32767, which most clusters do not allow"
            yield SpecFinding((*at, i, "nodePort"), what, "leave it out to be given one")


def _ports(cluster: RayCluster) -> Iterator[SpecFinding]:
    at: Path = ("spec", "headGroupSpec", "headService", "spec", "ports")
    names: dict[str, Path] = {}
    numbers: dict[tuple[int, str], Path] = {}
    for i, port in enumerate(((cluster.spec.head.head_service or {}).get("spec") or {}).get("ports") or []):
        name, number = port.get("name"), (port.get("port"), port.get("protocol") or "TCP")
        path, named = (*at, i), (*at, i, "name")
        if not name:
            what = "the port has no name, and there are others beside it"
            yield SpecFinding(path, what, "for example name: dashboard")
        elif not _NAME.match(name):
            what = f'"{name}" is not a valid port name'
            yield SpecFinding(named, what, "lower-case letters, digits and - in between")
        elif name in names:
            what = f"two ports are named {name}"
            yield SpecFinding(named, what, "give each port a name of its own", names[name])
        if number in numbers:
            what = f"port {number[0]}/{number[1]} appears twice"
            yield SpecFinding((*path, "port"), what, "keep one", numbers[number])
        names.setdefault(str(name), named)
        numbers.setdefault(number, (*path, "port"))


def _types(cluster: RayCluster) -> Iterator[SpecFinding]:
    """An ExternalName is an alias of another host: it leads to no pod."""
    head = cluster.spec.head
    own = ((head.head_service or {}).get("spec") or {}).get("type")
    for path, value in ((("serviceType",), head.service_type), (("headService", "spec", "type"), own)):
        if value == "ExternalName":
            what = "an ExternalName Service leads to no pod, so no worker finds the head"
            yield SpecFinding(("spec", "headGroupSpec", *path), what, "ClusterIP, NodePort or LoadBalancer")


NOTES = (_node_ports,)
RULES = (_ports, _types)
