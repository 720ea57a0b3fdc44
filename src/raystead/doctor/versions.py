"""Versions: the API server's and ours, Ray's and Python's in the cluster and on the client."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base.rayversions import dotted
from raystead.base.version import NEWER
from raystead.doctor.model import Check, Client, Observations
from raystead.manifests.context import ray_version
from raystead.manifests.notes import version_note
from raystead.spec.model import RayCluster

__all__ = ["OLDEST", "SUPPORTED", "check", "fit", "number"]

# the first with server-side apply by default; the first that tests run on; the newest that tests run on
OLDEST, SUPPORTED, NEWEST = (1, 19), (1, 25), (1, 36)
_AHEAD = 3  # minor versions; our requests use only stable kinds, but nobody tried
_TAG_PYTHON = re.compile(r"-py(\d)(\d+)")


def number(text: str) -> tuple[int, int]:
    """(1, 36) of "1.36"."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def check(seen: Observations) -> Iterator[Check]:
    yield _server(seen)
    yield _ray(seen)
    for line in version_note(seen.cluster):
        yield Check("ray", "warn", line, "", f"{seen.up} --ray-version VERSION")
    if reason := seen.context.no_token:
        what = f"the cluster has none ({reason}): "
        what += "whoever reaches the dashboard or the client port runs code there"
        yield Check("token", "warn", what)


def _server(seen: Observations) -> Check:
    if not seen.version:
        return Check(
            "server", "unknown", "its version is not known", seen.unread.get("version", ""), "kubectl version"
        )
    evidence = f"the API server says {seen.git_version}; raystead {seen.client.raystead}"
    here, text = number(seen.version), f"Kubernetes {seen.version}"
    if here < OLDEST:
        remedy = "another cluster: --context CONTEXT"
        return Check(
            "server", "fail", f"{text} is too old, 1.19 is the oldest that can do it", evidence, remedy
        )
    if here < SUPPORTED:
        what = f"{text} is older than 1.25: it may work, nobody tests it"
        return Check(
            "server", "warn", what, evidence, 'ask the administrator: "when is Kubernetes upgraded?"'
        )
    if here[0] > NEWEST[0] or here[1] > NEWEST[1] + _AHEAD:
        what = (
            f"{text} is much newer than {NEWEST[0]}.{NEWEST[1]}, the newest that this raystead was tested on"
        )
        return Check("server", "warn", what, evidence, NEWER)
    return Check("server", "ok", f"{text}, raystead {seen.client.raystead}: fit", evidence)


def _ray(seen: Observations) -> Check:
    return fit(seen.cluster, seen.client, f"{seen.up} --ray-version VERSION, or raystead doctor --probe")


def fit(cluster: RayCluster, client: Client, find_out: str) -> Check:
    """`submit` needs no Ray on the client; ray.init over a connection wants the same Ray and Python.

    `find_out`: what to run where the cluster's version is not known.
    """
    image = str(cluster.spec.head.template.ray_container.get("image") or "")
    known, python = ray_version(cluster), _TAG_PYTHON.search(image.rpartition(":")[2])
    version = cluster.spec.ray_version if known and not list(version_note(cluster)) else None
    there = version or (dotted(known) if known else "")
    if not there:
        what = "the cluster's Ray version is not known: the image's tag does not say it"
        return Check("ray", "unknown", what, image, find_out)
    if not client.ray:
        what = f"cluster {there}; your python has none and needs none: submit works without"
        return Check("ray", "ok", what, client.path)
    evidence = f"{client.path}: Python {client.python}, Ray {client.ray}"
    differ = []
    if client.ray.split(".")[: there.count(".") + 1] != there.split("."):
        differ.append(f"your python has Ray {client.ray}")
    if python and client.python and client.python.split(".")[:2] != list(python.groups()):
        differ.append(f"Python {client.python} (the cluster's is {'.'.join(python.groups())})")
    if differ:
        what = f'cluster {there}, {" and ".join(differ)}: submit works, ray.init("ray://…") would not'
        remedy = f'pip install "ray[default]=={version or there + ".*"}"'
        return Check("ray", "warn", what, evidence, remedy)
    return Check("ray", "ok", f"cluster and your python have {client.ray}", evidence)
