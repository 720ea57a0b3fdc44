"""Labels of our objects: the guide's, KubeRay's and our own."""

from __future__ import annotations

import re
from typing import Any

from raystead.base.names import check_label

__all__ = [
    "CLUSTER",
    "FIXED",
    "GUIDE_HEAD",
    "GUIDE_WORKER",
    "OBJECT_LABELS",
    "ORIGIN_KIND",
    "ORIGIN_NAME",
    "OURS",
    "PROGRAM_ROLES",
    "ROLE",
    "guide_worker",
    "is_label",
    "matches",
    "node_labels",
    "of_objects",
    "redis_labels",
    "selector",
    "steers",
]

_WORD = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_PREFIX = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
OURS = "raystead.io/cluster"
OBJECT_LABELS = "raystead.io/labels"  # annotation of a RayCluster: "team=nlp,cost=42", on all its objects
ROLE = "raystead.io/role"
PROGRAM_ROLES = ("submitter", "keeper")  # of pods that ask the head over HTTP
ANCHORS = f"{ROLE}=anchor"  # selects the ConfigMaps that stand for clusters
CLUSTERS = f"{ROLE} in (anchor,steward)"  # and those that say how many workers there are
CLUSTER = "ray.io/cluster"
NODE_TYPE = "ray.io/node-type"
GROUP = "ray.io/group"
ORIGIN_KIND = "ray.io/originated-from-crd"  # of what a RayJob asks for
ORIGIN_NAME = "ray.io/originated-from-cr-name"
FIXED = (NODE_TYPE, GROUP, CLUSTER, OURS)  # no template may override these
HEAD_GROUP = "headgroup"

GUIDE_HEAD = {"component": "ray-head", "type": "ray", "app": "ray-cluster-head"}
GUIDE_WORKER = {"component": "ray-worker", "type": "ray", "app": "ray-cluster-worker"}


def node_labels(cluster: str, group: str | None, *, guide: bool) -> dict[str, str]:
    """Labels of a Ray pod; `group` is None for the head."""
    kind = "head" if group is None else "worker"
    labels = {
        "ray.io/is-ray-node": "yes",
        CLUSTER: cluster,
        NODE_TYPE: kind,
        GROUP: HEAD_GROUP if group is None else group,
        "ray.io/identifier": check_label(f"{cluster}-{kind}"),
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
        OURS: cluster,
    }
    if guide:
        labels = {**(GUIDE_HEAD if group is None else GUIDE_WORKER), **labels}
    return labels


def guide_worker(group: str, index: int) -> dict[str, str]:
    """The guide's worker selector; groups it does not know are told apart by their name."""
    return dict(GUIDE_WORKER) if index == 0 else {**GUIDE_WORKER, GROUP: group}


def selector(cluster: str, group: str | None, *, guide: bool, index: int = 0) -> dict[str, str]:
    """What a Deployment selects: exactly the guide's labels, or those KubeRay lets nobody override."""
    if guide:
        return dict(GUIDE_HEAD) if group is None else guide_worker(group, index)
    kind = "head" if group is None else "worker"
    return {CLUSTER: cluster, NODE_TYPE: kind, GROUP: HEAD_GROUP if group is None else group}


def redis_labels(cluster: str) -> dict[str, str]:
    """What selects Redis' pod, and no other team's that has the guide's label as well."""
    return {"app": "redis", OURS: cluster}


def matches(term: dict[str, Any] | None, given: dict[str, str]) -> bool:
    """Whether a LabelSelector takes these labels; the empty one takes all, None takes none."""
    if term is None:
        return False
    if any(given.get(key) != value for key, value in (term.get("matchLabels") or {}).items()):
        return False
    for one in term.get("matchExpressions") or []:
        key, values = one["key"], one.get("values") or []
        holds = {
            "In": key in given and given[key] in values,
            "NotIn": key not in given or given[key] not in values,
            "Exists": key in given,
            "DoesNotExist": key not in given,
        }[one["operator"]]
        if not holds:
            return False
    return True


def is_label(key: str, value: str) -> bool:
    """Whether Kubernetes takes this label."""
    prefix, slash, name = key.rpartition("/")
    good = bool(name) and all(_WORD.match(part) and len(part) <= 63 for part in (name, value))
    return good and (not slash or bool(_PREFIX.match(prefix)))


def steers(key: str) -> bool:
    """A label that controllers act on (Kueue's queue, a topology), which belongs on pods alone."""
    domain = key.rpartition("/")[0]
    return domain.endswith(("k8s.io", "kubernetes.io", "ray.io")) or domain.startswith("raystead.io")


def of_objects(annotations: dict[str, str]) -> dict[str, str]:
    """The labels that a RayCluster's annotation asks for on all its objects; what is no label is left out."""
    pairs = (pair.strip().partition("=") for pair in annotations.get(OBJECT_LABELS, "").split(","))
    return {key: value for key, equals, value in pairs if equals and is_label(key, value) and not steers(key)}
