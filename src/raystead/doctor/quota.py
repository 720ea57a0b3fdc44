"""ResourceQuota: what the pods and objects need, what is left, how many will be refused."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct, field

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS, GroupId
from raystead.base.kinds import CLAIM, KINDS, ROWS
from raystead.base.text import plural
from raystead.doctor.amounts import Amounts, effective, plus, shown
from raystead.doctor.model import Check, Observations, Pods
from raystead.spec.model import Json

__all__ = ["check"]

_ENDED = ("Succeeded", "Failed")
# counted by what is there; of Secrets and ConfigMaps nobody reads a list
_COUNTED = tuple(row for row in ROWS if row.owned and row.part)


class _Room(Struct):
    """One quota as this cluster finds it: what a running cluster of the name uses counts as free."""

    quota: Json
    hard: Amounts
    free: Amounts  # before any pod is placed
    left: Amounts  # after those that fit
    needed: Amounts = field(default_factory=dict)
    refused: dict[GroupId, int] = field(default_factory=dict)  # pods
    short: set[str] = field(default_factory=set)  # resources that did not suffice

    @property
    def name(self) -> str:
        return str(self.quota["metadata"]["name"])


def check(seen: Observations) -> Iterator[Check]:
    """One check per quota."""
    if seen.quotas is None:
        why = "quotas may not be read: whether the pods fit is not known"
        yield Check("quota", "unknown", why, seen.unread.get("quotas", ""), "raystead doctor --rbac")
        return
    if not seen.quotas:
        yield Check("quota", "ok", "the namespace has none")
        return
    rooms = [_room(seen, quota) for quota in seen.quotas]
    for pods in seen.groups:
        _place(rooms, pods)
    for room in rooms:
        yield from _objects(seen, room)
        yield _check(seen, room)


def usage(pod: Json) -> Amounts:
    """What quotas count of a pod, under all the names that they have for it."""
    spec = pod.get("spec") or {}
    requests, limits = effective(spec, "requests"), effective(spec, "limits")
    out: Amounts = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for name, value in requests.items():
        out[f"requests.{name}"] = value
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            out[name] = value
    for name, value in limits.items():
        out[f"limits.{name}"] = value
    return out


def counts(quota: Json, pod: Json) -> bool:
    """The quota's scopes take the pod."""
    spec, rules = pod.get("spec") or {}, quota.get("spec") or {}
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in rules.get("scopes") or []]
    terms += (rules.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_scope(term, spec) for term in terms)


def _scope(term: Json, spec: Json) -> bool:
    name, operator, values = term.get("scopeName"), term.get("operator"), term.get("values") or []
    if name in ("Terminating", "NotTerminating"):
        return bool((spec.get("activeDeadlineSeconds") is not None) == (name == "Terminating"))
    if name in ("BestEffort", "NotBestEffort"):
        sizes = effective(spec, "requests") | effective(spec, "limits")
        return bool(("cpu" in sizes or "memory" in sizes) == (name == "NotBestEffort"))
    if name == "PriorityClass":
        priority = spec.get("priorityClassName") or ""
        return {
            "Exists": bool(priority),
            "DoesNotExist": not priority,
            "In": priority in values,
            "NotIn": priority not in values,
        }[str(operator)]
    if name == "CrossNamespacePodAffinity":
        text = str(spec.get("affinity") or "")
        return "namespaceSelector" in text or "'namespaces'" in text
    return False  # of claims (VolumeAttributesClass), or newer than we are


def _room(seen: Observations, quota: Json) -> _Room:
    status = quota.get("status") or {}
    limits = status.get("hard") or (quota.get("spec") or {}).get("hard") or {}
    hard = {name: quantities.parse(value) for name, value in limits.items()}
    used = {name: quantities.parse(value) for name, value in (status.get("used") or {}).items()}
    mine = plus(
        usage(pod)
        for pod in seen.pods or ()
        if seen.ours(pod) and (pod.get("status") or {}).get("phase") not in _ENDED and counts(quota, pod)
    )
    left = {
        n: v - max(Decimal(0), used.get(n, Decimal(0)) - mine.get(n, Decimal(0))) for n, v in hard.items()
    }
    return _Room(quota, hard, left, dict(left))


def _place(rooms: list[_Room], pods: Pods) -> None:
    """Pods take room as long as there is some in every quota that counts them."""
    asked = usage(pods.pod)
    concerned = [room for room in rooms if counts(room.quota, pods.pod)]
    for room in concerned:
        for name in room.hard.keys() & asked.keys():
            room.needed[name] = room.needed.get(name, Decimal(0)) + pods.wanted * asked[name]
    for _ in range(pods.wanted):
        lacking = [(r, n) for r in concerned for n in r.hard.keys() & asked.keys() if asked[n] > r.left[n]]
        for room in {id(room): room for room, _ in lacking}.values():
            room.refused[pods.group] = room.refused.get(pods.group, 0) + 1
        for room, name in lacking:
            room.short.add(name)
        if not lacking:
            for room in concerned:
                for name in room.hard.keys() & asked.keys():
                    room.left[name] -= asked[name]


def _check(seen: Observations, room: _Room) -> Check:
    if not room.refused:
        tight = min(
            (n for n in room.needed if room.needed[n] > 0),
            key=lambda n: room.left[n] / (room.hard[n] or Decimal(1)),
            default=None,
        )
        if tight is None:
            return Check("quota", "ok", f"`{room.name}` counts nothing of this cluster's pods")
        wanted, left = (shown(tight, amounts[tight]) for amounts in (room.needed, room.free))
        text = f"`{room.name}`: needs {wanted} of {tight}, {left} left"
        return Check("quota", "ok", text)
    lines, asks = [], []
    for name in sorted(room.short):
        free = room.free[name]
        lines.append(f"{shown(name, room.needed[name])} of {name}, {shown(name, max(free, Decimal(0)))} left")
        asks.append(f"{name} ≥ {shown(name, room.hard[name] - free + room.needed[name])}")
    what = f"`{room.name}`: needs {'; '.join(lines)}: {_who(seen, room)} will be refused"
    evidence = f"resourcequota/{room.name}: " + ", ".join(
        f"{name} hard {shown(name, room.hard[name])}" for name in sorted(room.short)
    )
    return Check("quota", "fail", what, evidence, _remedy(seen, room, asks))


def _who(seen: Observations, room: _Room) -> str:
    wanted = {pods.group: pods.wanted for pods in seen.groups}
    parts = []
    for group, count in room.refused.items():
        if group in (HEAD, REDIS):
            parts.append({HEAD: "the head", REDIS: "Redis"}[group])
        else:
            parts.append(f"{count} of {plural(wanted[group], 'pod')} of {group}")
    return " and ".join(parts)


def _remedy(seen: Observations, room: _Room, asks: list[str]) -> str:
    namespace = seen.facts.namespace
    send = f'send to the administrator: "please raise quota {room.name} in namespace {namespace} to '
    send += f'{", ".join(asks)}"'
    workers = [pods for pods in seen.groups if pods.group.is_worker]
    fit = len(workers) == 1 and workers[0].wanted - room.refused.get(workers[0].group, 0)
    if fit and set(room.refused) == {workers[0].group}:
        return f"{seen.up} --workers {fit}\nor {send}"
    return send


def _objects(seen: Observations, room: _Room) -> Iterator[Check]:
    """Quotas that count objects: those that are to be made and are not there yet."""
    if (room.quota.get("spec") or {}).get("scopes") or (room.quota.get("spec") or {}).get("scopeSelector"):
        return
    wanted, there = _made(seen)
    for name in sorted(room.hard.keys() & wanted.keys()):
        need = wanted[name] - there.get(name, Decimal(0))
        if need > room.left[name]:
            free = max(room.left[name], Decimal(0))
            raised = room.hard[name] + need - room.left[name]
            yield Check(
                "quota",
                "fail",
                f"`{room.name}`: needs {shown(name, need)} more of {name}, {shown(name, free)} left",
                f"resourcequota/{room.name}: {name} hard {shown(name, room.hard[name])}",
                f'send to the administrator: "please raise quota {room.name} in namespace '
                f'{seen.facts.namespace} to {name} ≥ {shown(name, raised)}"',
            )


def _made(seen: Observations) -> tuple[Amounts, Amounts]:
    """By quota's name, what the cluster has when it is whole, and what of it is there."""
    wanted: Amounts = {}
    there: Amounts = {}
    templates = [c for o in seen.objects for c in (o.get("spec") or {}).get("volumeClaimTemplates") or []]
    claims = [*templates, *(o for o in seen.objects if o["kind"] == CLAIM)]
    kinds = [o["kind"] for o in seen.objects] + [CLAIM for _ in templates]
    for name in (name for kind in kinds if kind in KINDS for name in KINDS[kind].quota_names):
        wanted[name] = wanted.get(name, Decimal(0)) + 1
    for row in _COUNTED:
        for name in row.quota_names:
            there[name] = Decimal(sum(seen.ours(item) for item in seen.there(row.name) or ()))
    made = [name for name, keys in seen.secrets.items() if keys is None]
    wanted.update({name: Decimal(len(made)) for name in KINDS["Secret"].quota_names})
    anchors = 0 if seen.exists else 1
    configs = sum(o["kind"] == "ConfigMap" for o in seen.objects)
    wanted.update({name: Decimal(configs + anchors) for name in KINDS["ConfigMap"].quota_names})
    there.update({name: Decimal(configs if seen.exists else 0) for name in KINDS["ConfigMap"].quota_names})
    for store, claims_here in ((wanted, claims), (there, [c for c in seen.claims or () if seen.ours(c)])):
        sizes = [quantities.parse(c["spec"]["resources"]["requests"]["storage"]) for c in claims_here]
        store["requests.storage"] = sum(sizes, Decimal(0))
    return wanted, there
