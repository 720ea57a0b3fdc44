"""What Ray's autoscaler wants, as a set of pod names. Pure.

A name is chosen once, written down, and only then is its pod made. So whoever acts on the set, and however
often it is killed, makes no pod twice and forgets none: a pod that is missing is made under its own name, one
that is not in the set goes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Suffix = Callable[[], str]  # five random characters for a pod's name
MAX_REPLICAS = 2147483647  # the CRD's default of maxReplicas
CLUSTER, GROUP, NODE_TYPE = "ray.io/cluster", "ray.io/group", "ray.io/node-type"
TEMPLATE = "raystead.io/template"  # annotation of a pod: the hash of the template it was made from
_PREFIX = 50  # characters of a pod's name before its suffix, as KubeRay clips them
_GROUPS = "/spec/workerGroupSpecs/"


class PatchRefused(Exception):
    """A patch of the RayCluster that is not understood or whose test fails; `status` is the HTTP code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class GroupState:
    """One autoscaled group.

    Attributes:
        replicas: as the autoscaler last patched it, or as the file says.
        delete: `scaleStrategy.workersToDelete`.
        names: the pods that are to exist.
    """

    replicas: int
    delete: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class Scaling:
    """All groups; `version` grows with each change: the RayCluster's resourceVersion for the autoscaler."""

    version: int = 1
    groups: dict[str, GroupState] = field(default_factory=dict)

    def stored(self) -> Json:
        """As JSON, to be kept in the anchor."""
        groups = {
            name: {"replicas": one.replicas, "delete": one.delete, "names": one.names}
            for name, one in self.groups.items()
        }
        return {"version": self.version, "groups": groups}


def restored(stored: Mapping[str, Any] | None) -> Scaling:
    """What `stored` made; an empty one from nothing."""
    found = stored or {}
    groups = {
        str(name): GroupState(int(one["replicas"]), list(one["delete"]), list(one["names"]))
        for name, one in (found.get("groups") or {}).items()
    }
    return Scaling(int(found.get("version") or 1), groups)


def with_defaults(document: Json) -> Json:
    """The RayCluster with the CRD's defaults, which Ray's provider relies on, without what is ours to do."""
    out = copy.deepcopy(document)
    spec = out.setdefault("spec", {})
    spec.pop("idleTerminationOptions", None)  # a keeper does that
    spec["workerGroupSpecs"] = [
        {
            **group,
            "replicas": group.get("replicas") or 0,
            "minReplicas": group.get("minReplicas") or 0,
            "maxReplicas": MAX_REPLICAS if group.get("maxReplicas") is None else group["maxReplicas"],
            "numOfHosts": group.get("numOfHosts") or 1,
            "rayStartParams": group.get("rayStartParams") or {},
            "scaleStrategy": {
                "workersToDelete": (group.get("scaleStrategy") or {}).get("workersToDelete") or []
            },
        }
        for group in spec.get("workerGroupSpecs") or []
    ]
    return out


def adopt(scaling: Scaling, document: Json, suffix: Suffix) -> Scaling:
    """The state for a new or changed document: new groups as the file says, gone ones go, bounds hold."""
    groups: dict[str, GroupState] = {}
    for spec in document["spec"]["workerGroupSpecs"]:
        name = spec["groupName"]
        before = scaling.groups.get(name)
        wished = before.replicas if before else spec["replicas"]
        replicas = max(spec["minReplicas"], min(wished, spec["maxReplicas"]))
        if _suspended(document, spec):
            replicas = 0
        one = copy.deepcopy(before) if before else GroupState(replicas)
        one.replicas = replicas
        groups[name] = one
    out = Scaling(scaling.version, groups)
    _settle(out, document, suffix)
    if out.groups != scaling.groups:
        out.version = scaling.version + 1
    return out


def shown(scaling: Scaling, document: Json, capped: Mapping[str, int]) -> Json:
    """The RayCluster as the autoscaler is to see it.

    `capped`: the most replicas that a group can have now (a quota), by group.
    """
    out = copy.deepcopy(document)
    out.setdefault("metadata", {})["resourceVersion"] = str(scaling.version)
    for spec in out["spec"]["workerGroupSpecs"]:
        state = scaling.groups[spec["groupName"]]
        spec["replicas"] = state.replicas
        spec["scaleStrategy"] = {"workersToDelete": list(state.delete)}
        if spec["groupName"] in capped:
            least = max(capped[spec["groupName"]], spec["minReplicas"])
            spec["maxReplicas"] = min(spec["maxReplicas"], least)
    return out


def patched(scaling: Scaling, document: Json, operations: Any, suffix: Suffix) -> Scaling:
    """The state after a JSON patch of Ray's provider.

    Raises:
        PatchRefused: an operation that we do not know, or a test that fails; nothing is changed then.
    """
    out = copy.deepcopy(scaling)
    if not isinstance(operations, list):
        raise PatchRefused(403, "only replicas and workersToDelete of a group may be patched")
    specs = document["spec"]["workerGroupSpecs"]
    for one in operations:
        path, value = str(one.get("path", "")), one.get("value")
        if one.get("op") == "test" and path == "/metadata/resourceVersion":
            if value != str(scaling.version):
                raise PatchRefused(409, "the RayCluster has changed since it was read")
            continue
        index, _, key = path[len(_GROUPS) :].partition("/")
        known = one.get("op") in ("replace", "add") and path.startswith(_GROUPS) and index.isdigit()
        if not known or int(index) >= len(specs) or key not in ("replicas", "scaleStrategy"):
            raise PatchRefused(403, f"{one.get('op')} {path} is not allowed here")
        spec, group = specs[int(index)], out.groups[specs[int(index)]["groupName"]]
        if key == "scaleStrategy":
            group.delete = [str(name) for name in (value or {}).get("workersToDelete") or []]
        elif isinstance(value, int) and value >= 0:
            group.replicas = min(value, spec["maxReplicas"])
        else:
            raise PatchRefused(422, f"replicas has to be a whole number, not {value!r}")
    _settle(out, document, suffix)
    if out.groups != scaling.groups:
        out.version += 1
    return out


def _settle(scaling: Scaling, document: Json, suffix: Suffix) -> None:
    """Brings the names to the replicas: more are made; who goes, Ray names, also above a new maximum."""
    cluster = str(document["metadata"]["name"])
    for spec in document["spec"]["workerGroupSpecs"]:
        group = scaling.groups[spec["groupName"]]
        gone = {*group.delete, *spec["scaleStrategy"]["workersToDelete"]}  # of the autoscaler, of the file
        group.names = [name for name in group.names if name not in gone]
        wanted = group.replicas * spec["numOfHosts"]
        if _suspended(document, spec):
            group.names = []
            continue
        prefix = f"{cluster}-{spec['groupName']}-worker"[:_PREFIX].lower()
        while len(group.names) < wanted:
            name = f"{prefix}-{suffix()}"
            if name not in group.names and name not in gone:
                group.names.append(name)


def _suspended(document: Json, group: Json) -> bool:
    """The group is to have no pods; nor has a cluster that is suspended while its steward still runs."""
    return bool(group.get("suspend") or document["spec"].get("suspend"))


@dataclass(frozen=True)
class Work:
    """What is to be done: pods to make, as (name, group), and pods to delete."""

    make: tuple[tuple[str, str], ...] = ()
    delete: tuple[Json, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.make or self.delete)


def replace_lost(
    scaling: Scaling, document: Json, pods: Sequence[Json], suffix: Suffix, gone: Container[str] = ()
) -> Scaling:
    """New names for pods that ended or are about to: a name is used once, for Ray knows a node by it.

    One that somebody deletes is not waited for, as a ReplicaSet does not: of a dead machine it never goes.
    Ray's autoscaler no longer counts it either, and would ask for another one beside ours.

    Of a group that has more names than replicas, those without a pod are dropped.

    Args:
        gone: names of pods that somebody has deleted.
    """
    ended = {name_of(pod) for pod in pods if has_ended(pod) or deleted(pod)}
    there = {name_of(pod) for pod in pods}
    hosts = {one["groupName"]: one["numOfHosts"] for one in document["spec"]["workerGroupSpecs"]}
    out = copy.deepcopy(scaling)
    for name, group in out.groups.items():
        group.names = [
            one for one in group.names if one not in ended and not (one in gone and one not in there)
        ]
        spare = len(group.names) - group.replicas * hosts.get(name, 1)
        for one in [one for one in reversed(group.names) if one not in there][: max(0, spare)]:
            group.names.remove(one)
    _settle(out, document, suffix)
    if out.groups != scaling.groups:
        out.version += 1
    return out


def roll(
    scaling: Scaling, document: Json, pods: Sequence[Json], hashes: Mapping[str, str], suffix: Suffix
) -> Scaling:
    """The state that replaces one pod of an outdated template; unchanged while another is not ready."""
    out = copy.deepcopy(scaling)
    by_name = {name_of(pod): pod for pod in pods if not deleted(pod)}
    for group, state in out.groups.items():
        here = [by_name[name] for name in state.names if name in by_name]
        outdated = [pod for pod in here if group in hashes and _annotation(pod, TEMPLATE) != hashes[group]]
        if outdated and len(here) == len(state.names) and all(ready(p) for p in here if p not in outdated):
            first = sorted(outdated, key=lambda pod: (ready(pod), name_of(pod)))[0]
            state.names = [name for name in state.names if name != name_of(first)]
    _settle(out, document, suffix)
    if out.groups != scaling.groups:
        out.version += 1
    return out


def work(scaling: Scaling, pods: Iterable[Json]) -> Work:
    """What the set of names and the pods there leave to do; `pods` are this cluster's own workers."""
    there = {name_of(pod): pod for pod in pods}
    wanted = {name: group for group, state in scaling.groups.items() for name in state.names}
    make = tuple((name, group) for name, group in wanted.items() if name not in there)
    surplus = tuple(p for name, p in there.items() if name not in wanted and not deleted(p))
    return Work(make, surplus)


def name_of(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def deleted(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def has_ended(pod: Json) -> bool:
    """Its phase is final, or Ray's container (the first) has ended, for good with restartPolicy Never."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    statuses = status.get("containerStatuses") or []
    return bool(statuses) and "terminated" in (statuses[0].get("state") or {})


def ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def slim(pod: Json) -> Json:
    """What Ray's provider and we read of a pod: a thousand of them are kept."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "creationTimestamp")
    labels = metadata.get("labels") or {}
    out: Json = {"metadata": {key: metadata[key] for key in kept if key in metadata}}
    out["metadata"]["labels"] = {key: labels[key] for key in (CLUSTER, GROUP, NODE_TYPE) if key in labels}
    template = (metadata.get("annotations") or {}).get(TEMPLATE)
    if template:
        out["metadata"]["annotations"] = {TEMPLATE: template}
    out["metadata"]["ownerReferences"] = [
        {"uid": owner.get("uid")} for owner in metadata.get("ownerReferences") or []
    ]
    out["status"] = {key: status[key] for key in ("phase", "podIP") if key in status}
    if status.get("containerStatuses"):
        out["status"]["containerStatuses"] = [
            # an empty state means waiting, and Ray's provider (v1) takes no other one
            {"name": one.get("name"), "state": one.get("state") or {"waiting": {}}}
            for one in status["containerStatuses"]
        ]
    conditions = [c for c in status.get("conditions") or [] if c.get("type") in ("Ready", "PodScheduled")]
    out["status"]["conditions"] = [
        {key: c[key] for key in ("type", "status", "reason", "message") if key in c} for c in conditions
    ]
    return out


def _annotation(pod: Json, key: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(key) or "")
