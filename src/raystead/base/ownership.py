"""Which objects are provably a cluster's own: the one answer for all that deletes, replaces or patches.

A label alone proves nothing, for a copy of our YAML carries it too. An object belongs to a cluster when it
has the cluster's label and

- an owner reference to the cluster's anchor, or to an object that is itself proved (ReplicaSets and pods), or
- as a claim that `down --keep-data` left, its own uid in an annotation, or
- a name that only a proved Deployment, StatefulSet or CronJob gives: claims of a StatefulSet have no owner,
  and ReplicaSets, Jobs and pods lose theirs when their controller is deleted with orphans.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from raystead.base import labels, names

__all__ = ["anchor_uids", "labelled", "owned", "owners_of"]

_HASH = "pod-template-hash"
_ORDINAL = "statefulset.kubernetes.io/pod-name"
_JOB = "job-name"  # the Job controller's label
_NAMING = ("Deployment", "StatefulSet", "CronJob")
Json = dict[str, Any]


def labelled(item: Json, cluster: str) -> bool:
    """Whether the object carries the cluster's label."""
    return bool((item["metadata"].get("labels") or {}).get(labels.OURS) == cluster)


def owners_of(item: Json) -> set[str]:
    """The uids of the object's owner references."""
    return {str(ref.get("uid")) for ref in item["metadata"].get("ownerReferences") or ()}


def anchor_uids(items: Iterable[Json], cluster: str) -> set[str]:
    """The uids of all anchors, past and present, that these objects name as their owner.

    Only one ConfigMap of that name exists at a time. So when the objects were listed first and the anchor
    read afterwards, any other uid is that of an anchor that is gone: the garbage collector wants the object.
    """
    return {
        str(ref.get("uid"))
        for item in items
        for ref in item["metadata"].get("ownerReferences") or ()
        if (ref.get("kind"), ref.get("name")) == ("ConfigMap", names.anchor(cluster))
    }


def owned(
    items: Iterable[Json], cluster: str, roots: Iterable[str], makers: Iterable[Json] = ()
) -> frozenset[str]:
    """The uids of those items that are proved to be the cluster's; all other items are somebody else's.

    Args:
        items: live objects of any kinds, with their `kind`.
        cluster: the name in the label.
        roots: uids that are proved already: the anchor's, and what an earlier call has proved.
        makers: Deployments, StatefulSets and CronJobs that the cluster has by its spec, live or rendered:
            what has lost its owner is known by their names. One whose name a live stranger has does not
            count.
    """
    here = [item for item in items if labelled(item, cluster)]
    proved = set(roots) | {item["metadata"]["uid"] for item in here if _kept(item)}
    while True:
        new = {i["metadata"]["uid"] for i in here if owners_of(i) & proved} - proved
        if not new:
            break
        proved |= new
    known = {(i["kind"], i["metadata"]["name"]): i["metadata"]["uid"] in proved for i in here}
    own = [m for m in makers if known.get((m["kind"], m["metadata"]["name"]), True)]
    own += [i for i in here if i["kind"] in _NAMING and i["metadata"]["uid"] in proved]
    proved |= {i["metadata"]["uid"] for i in here if any(_made_by(maker, i) for maker in own)}
    return frozenset(i["metadata"]["uid"] for i in here if i["metadata"]["uid"] in proved)


def _kept(item: Json) -> bool:
    """Whether `down --keep-data` left it: a copy has another uid than the one in its annotation."""
    metadata = item["metadata"]
    if metadata.get("ownerReferences"):
        return False
    return bool((metadata.get("annotations") or {}).get(names.KEPT_ANNOTATION) == metadata["uid"])


def _made_by(maker: Json, item: Json) -> bool:
    """Whether only this controller gives such a name; never where the item names an owner of its own."""
    kind, name, metadata = item["kind"], str(item["metadata"]["name"]), item["metadata"]
    if metadata.get("ownerReferences"):
        return False
    by, found = str(maker["metadata"]["name"]), metadata.get("labels") or {}
    if maker["kind"] == "Deployment":
        if not found.get(_HASH):
            return False
        replica_set = f"{by}-{found[_HASH]}"
        if kind == "ReplicaSet":
            return name == replica_set
        return kind == "Pod" and bool(re.fullmatch(rf"{re.escape(replica_set)}-[a-z0-9]{{5}}", name))
    if maker["kind"] == "CronJob":
        job = name if kind == "Job" else str(found.get(_JOB) or "")
        if not re.fullmatch(rf"{re.escape(by)}-\d{{8,}}", job):
            return False
        return kind == "Job" or (
            kind == "Pod" and bool(re.fullmatch(rf"{re.escape(job)}-\d+-[a-z0-9]{{5}}", name))
        )
    if maker["kind"] != "StatefulSet":
        return False
    if kind == "Pod":
        return bool(re.fullmatch(rf"{re.escape(by)}-\d+", name)) and found.get(_ORDINAL) == name
    if kind != "PersistentVolumeClaim":
        return False
    templates = [template["metadata"] for template in maker["spec"].get("volumeClaimTemplates") or ()]
    return any(
        re.fullmatch(rf"{re.escape(str(one['name']))}-{re.escape(by)}-\d+", name)
        and _storage(one) in (None, _storage(metadata))
        for one in templates
    )


def _storage(metadata: Json) -> str | None:
    """Whose state a claim holds: Ray's key prefix, which no two clusters share."""
    value: str | None = (metadata.get("annotations") or {}).get(names.STORAGE_NAMESPACE_ANNOTATION)
    return value
