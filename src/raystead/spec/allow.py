"""`--allow-from PEER --to PORTS`: who from outside the cluster may connect to which of its doors.

All of them stand in one annotation, `raystead.io/allow-from`: `PEER to PORTS; PEER to PORTS`. A peer is
`namespace=NS`, `pods=KEY=VALUE` (several: all of them) or both, joined by commas; without a namespace it is
the cluster's own. A port is `dashboard`, `client`, `metrics`, `serve` or a number from 1 to 65535.
"""

from __future__ import annotations

import re

from msgspec import Struct

from raystead.base.labels import is_label

__all__ = ["ALLOW_ANNOTATION", "Allowed", "parse_all", "with_peers"]

ALLOW_ANNOTATION = "raystead.io/allow-from"
_NAMESPACE = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_NUMBER = re.compile(r"^[0-9]{1,5}$")
_DOORS = ("dashboard", "client", "metrics", "serve")


class Allowed(Struct, frozen=True):
    """One peer: the name of its namespace (None: the cluster's), labels of its pods, doors it may use."""

    namespace: str | None
    pods: tuple[tuple[str, str], ...]
    to: tuple[str, ...]

    @property
    def peer(self) -> str:
        parts = [f"namespace={self.namespace}"] if self.namespace else []
        return ",".join(parts + [f"pods={key}={value}" for key, value in self.pods])

    def __str__(self) -> str:
        return f"{self.peer} to {','.join(self.to)}"


def _parse(peer: str, to: str) -> Allowed:
    namespace: str | None = None
    pods: list[tuple[str, str]] = []
    for part in peer.strip().split(","):
        key, _, value = part.strip().partition("=")
        label, second, wanted = value.partition("=")
        if key == "namespace" and value and not second and namespace is None:
            if not _NAMESPACE.match(value):
                raise ValueError(f'"{value}" is not a valid namespace')
            namespace = value
        elif key == "pods" and label and second:
            if not is_label(label, wanted):
                raise ValueError(f'"{value}" is not a valid label')
            pods.append((label, wanted))
        else:
            raise ValueError(f'"{peer.strip()}" is not namespace=NS, pods=KEY=VALUE or both')
    doors = tuple(word.strip() for word in to.split(","))
    for door in doors:
        if door not in _DOORS and not (_NUMBER.match(door) and 0 < int(door) < 65536):
            raise ValueError(f'"{door}" is neither one of {", ".join(_DOORS)} nor a port number')
    return Allowed(namespace, tuple(pods), tuple(dict.fromkeys(doors)))


def parse_all(text: str) -> list[Allowed]:
    """The annotation's entries.

    Raises:
        ValueError: with a sentence, for what makes no sense.
    """
    out = []
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        peer, word, to = entry.partition(" to ")
        if not word:
            raise ValueError(f'"{entry}" does not say to what: PEER to {",".join(_DOORS)}')
        out.append(_parse(peer, to))
    return out


def with_peers(text: str, peers: tuple[str, ...], to: str) -> str:
    """The annotation's text with more peers; one that is there already gets these doors instead.

    The peer `none` takes away all that stood there.

    Raises:
        ValueError: as `parse_all`.
    """
    kept = [] if "none" in peers else parse_all(text)
    entries = [*kept, *(_parse(peer, to) for peer in peers if peer != "none")]
    return "; ".join(str(entry) for entry in {entry.peer: entry for entry in entries}.values())
