"""What a change costs, in the words of its question: `worker: 1 pod restarts (memory 1G → 2Gi)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from raystead.plan.model import Change, FieldChange, Key, Plan

__all__ = ["costs"]

_NAMED = 2  # fields that a question names; the plan shows them all
_GROUPS = 4
_TEMPLATE = "spec.template"
_FIRST = (".image", ".memory", ".cpu", "gpu]")
_LONG = 40  # characters; a longer value is not worth its room in a question


def costs(plan: Plan, groups: Mapping[Key, str]) -> str:
    """Each change that loses something, by its group: how many pods, and which fields; empty for none.

    `groups`: names that people use, by the object that makes the pods.
    """
    told = [_cost(change, groups.get(change.key, change.name)) for change in plan.changes if change.loses]
    more = [f"and {len(told) - _GROUPS} more groups"] if len(told) > _GROUPS else []
    return "; ".join([*told[:_GROUPS], *more])


def _cost(change: Change, name: str) -> str:
    parts = []
    if change.restarts:
        parts.append(f"{_pods(change.restarts)} restart{'s' if change.restarts == 1 else ''}")
    if change.stops:
        parts.append(f"{_pods(change.stops)} stop{'s' if change.stops == 1 else ''}")
    why = _why(change)
    return f"{name}: {' and '.join(parts) or 'its state goes'}{f' ({why})' if why else ''}"


def _why(change: Change) -> str:
    """The fields that make the pods restart; the reason where there are none."""
    fields = [one for one in change.fields if one.path.startswith(_TEMPLATE) or not change.restarts]
    fields = [one for one in fields if not one.path.endswith("env[KUBERAY_GEN_RAY_START_CMD].value")]
    words = list(dict.fromkeys(word for one in sorted(fields, key=_rank) for word in _field(one)))
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "") or change.reason


def _rank(field: FieldChange) -> int:
    """What people change most comes first, then what can be shown."""
    if field.path.endswith(_FIRST):
        return 0
    return 1 if _is_short(field) else 2


def _is_short(field: FieldChange) -> bool:
    return field.before != field.after and _short(field.before) and _short(field.after)


def _field(field: FieldChange) -> Iterator[str]:
    name = field.path.rpartition("[")[2].rstrip("]") if field.path.endswith("]") else ""
    name = name or field.path.rpartition(".")[2]
    if field.path.endswith(".value"):  # of a variable
        name = field.path.removesuffix(".value").rpartition("[")[2].rstrip("]")
    if field.path.endswith(("restartedAt]", "restarted-at]")) or name in ("restarted", "annotations"):
        return
    if _is_short(field):
        yield f"{name} {field.before} → {field.after}"
    else:
        yield name


def _short(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= _LONG


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
