"""Sentences of a plan: why an object goes, what a newer raystead changes by itself, what stays behind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from raystead.base import labels, names
from raystead.live.reading import touches
from raystead.manifests.storage import storage_kind
from raystead.plan.model import Action, By, Change
from raystead.spec.model import Json, RayCluster

__all__ = ["claim_left", "claims_kept", "deletion", "foreign", "of_drift", "of_version", "secrets_named"]

_FIELDS_SHOWN = 3


def deletion(
    item: Json, applied: RayCluster | None, desired: RayCluster, wanted: Sequence[Json], by: By
) -> str:
    """Why a live object is no longer wanted."""
    policy = item["kind"] == "NetworkPolicy"
    if policy and not any(item["kind"] == "NetworkPolicy" for item in wanted):
        return "policies are off"
    if applied is None:
        return "the spec does not ask for it"
    old, new = (
        cluster.annotations.get(names.NAMES_ANNOTATION, names.KUBERAY) for cluster in (applied, desired)
    )
    if old != new:
        return f"names change from {old} to {new}"
    group = _group(item)
    if group not in ("", labels.HEAD_GROUP) and (not policy or _group_gone(group, desired)):
        return _group_reason(group, applied, desired)
    before, after = storage_kind(applied), storage_kind(desired)
    if before != after and (not policy or item["metadata"]["name"].endswith("redis-ingress")):
        return f"storage changes from {before} to {after}"
    if by is By.VERSION:
        return "this version of raystead does without it"
    return "the spec no longer asks for it"


def _group(item: Json) -> str:
    """The worker group whose pods the object makes or guards; empty for others."""
    spec = item.get("spec") or {}
    template = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    selected = (spec.get("podSelector") or {}).get("matchLabels") or {}
    return str(template.get(labels.GROUP) or selected.get(labels.GROUP) or "")


def _group_gone(group: str, desired: RayCluster) -> bool:
    return all(group_spec.name != group for group_spec in desired.spec.workers)


def _group_reason(group: str, applied: RayCluster, desired: RayCluster) -> str:
    old = {group_spec.name: group_spec for group_spec in applied.spec.workers}
    new = {group_spec.name: group_spec for group_spec in desired.spec.workers}
    if not _group_gone(group, desired):
        return f'group "{group}" gets another name of its Deployment'
    for name, group_spec in new.items():
        if name not in old and group in old and group_spec.template == old[group].template:
            return f'group "{group}" is renamed to "{name}"'
    return f'group "{group}" is removed'


def foreign(live: Json, cluster: str) -> str:
    """A live object that has a name we need and is not this cluster's."""
    kind, name = live["kind"], live["metadata"]["name"]
    owner = (live["metadata"].get("labels") or {}).get(labels.OURS)
    whose = f'belongs to the cluster "{owner}"' if owner else "was not made by raystead"
    return f'{kind}/{name} exists and {whose}; delete or rename it, or give "{cluster}" another name'


def of_version(changes: Sequence[Change], rendered_by: str, version: str) -> Iterator[str]:
    """What a change of raystead's version does to the objects, the spec aside."""
    for change in changes:
        fields = [field.path for field in change.fields if field.by is By.VERSION]
        if not fields and change.by is not By.VERSION:
            continue
        what = f"changes {_listed(fields)}" if fields else f"{change.action}s it"
        template = [field for field in change.fields if touches(field.path, ["spec.template"])]
        alone = all(field.by is By.VERSION for field in template)
        cost = f"; {_pods(change.restarts)} for that alone" if change.restarts and alone else ""
        made = f"{rendered_by} made it" if rendered_by else "an older one made it"
        program = change.kind == "ConfigMap" and any(".py" in path for path in fields)
        later = "; what runs goes on with the program that it has until its pod restarts" if program else ""
        yield f"{change.kind}/{change.name}: raystead {version} {what} by itself ({made}){cost}{later}"


def of_drift(changes: Sequence[Change]) -> Iterator[str]:
    """What is not as it was applied and is set right: somebody's hand, or an `up` that was cut off."""
    for change in changes:
        for field in change.fields:
            if field.by is By.DRIFT:
                yield f"{change.kind}/{change.name}: {field.path} is not as it was applied; it is set back"
        if change.by is By.DRIFT and change.action is Action.CREATE:
            yield f"{change.kind}/{change.name} was applied and is not there; it is created again"


def claim_left(claim: Json, wanted: Sequence[Json]) -> Iterator[str]:
    """A note on a claim that no object uses any more: it is kept, for it holds state."""
    name = str(claim["metadata"]["name"])
    for item in wanted:
        spec = item.get("spec") or {}
        for template in spec.get("volumeClaimTemplates") or []:
            if name.startswith(f"{template['metadata']['name']}-{item['metadata']['name']}-"):
                return
        volumes = ((spec.get("template") or {}).get("spec") or {}).get("volumes") or []
        if any((v.get("persistentVolumeClaim") or {}).get("claimName") == name for v in volumes):
            return
    yield (
        f"PersistentVolumeClaim/{name} stays, with the state that is on it; "
        f"nothing uses it: kubectl delete pvc {name}"
    )


def claims_kept(change: Change, live: Sequence[Json]) -> Iterator[str]:
    """A new claim template does not touch the claims that its StatefulSet has made already."""
    for item in live:
        name = str(item["metadata"]["name"])
        template = re.fullmatch(rf"[\w.-]+-{re.escape(change.name)}-\d+", name)
        if item["kind"] == "PersistentVolumeClaim" and template:
            yield f"PersistentVolumeClaim/{name} keeps its size and class: the template is for new claims"


def secrets_named(wanted: Sequence[Json]) -> set[str]:
    """Names of the Secrets that the wanted objects refer to."""
    return set(_secrets(list(wanted)))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "secretName" and isinstance(item, str):
                yield item
            elif key in ("secretKeyRef", "secretRef", "imagePullSecrets", "secret"):
                yield from _names(item)
                yield from _secrets(item)
            else:
                yield from _secrets(item)


def _names(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield item["name"]


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - _FIELDS_SHOWN
    return ", ".join(paths[:_FIELDS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _pods(count: int) -> str:
    return "1 pod restarts" if count == 1 else f"{count} pods restart"
