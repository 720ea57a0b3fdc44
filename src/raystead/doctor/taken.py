"""Names and labels in use: objects that are not ours and would be hit, pods that ours would catch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from raystead.base import labels
from raystead.base.kinds import KINDS
from raystead.doctor.model import Check, Observations
from raystead.spec.model import Json

__all__ = ["caught", "check", "selectors"]

_SHOWN = 3
_NEEDED = ("Deployment", "StatefulSet", "Service", "Pod")  # without one of them nobody can tell
_ENDED = ("Succeeded", "Failed")


def check(seen: Observations) -> Iterator[Check]:
    found = [*_clusters(seen), *_names(seen), *_caught(seen), *_catchers(seen)]
    yield from found
    if found:
        return
    unread = [kind for kind in _NEEDED if seen.there(kind) is None]
    if unread:
        what = f"whether names and labels are free is not known for {', '.join(unread)}"
        yield Check("names", "unknown", what, "these may not be listed", "raystead doctor --rbac")
    else:
        yield Check(
            "names", "ok", "in use by nobody else" if not seen.exists else "in use by this cluster alone"
        )


def _clusters(seen: Observations) -> Iterator[Check]:
    """A cluster of the name that is not ours: its pods carry the labels that ours would."""
    pods = [p for p in seen.pods or () if _labels(p).get(labels.CLUSTER) == seen.name and not seen.ours(p)]
    if pods or seen.raycluster:
        kind = "KubeRay has a RayCluster" if seen.raycluster else "pods of another Ray cluster are called"
        evidence = f"RayCluster/{seen.name}" if seen.raycluster else _list("pod", pods)
        yield Check("names", "fail", f'{kind} "{seen.name}"', evidence, f"raystead up --name {seen.name}-2")


def _names(seen: Observations) -> Iterator[Check]:
    taken = []
    for item in seen.objects:
        name = item["metadata"]["name"]
        for there in (seen.there(item["kind"]) if item["kind"] in KINDS else None) or ():
            if there["metadata"]["name"] == name and not seen.ours(there):
                taken.append(f"{item['kind']}/{name}")
    if taken:
        many = len(taken) > 1
        verb, it = ("exist", "them") if many else ("exists", "it")
        what = f"{', '.join(taken)} {verb} and this cluster did not make {it}"
        remedy = "delete them" if many else f"kubectl delete {taken[0].lower()}"
        yield Check("names", "fail", what, "", f"{remedy}\nor {_elsewhere(seen)}")


def _caught(seen: Observations) -> Iterator[Check]:
    """Pods of others that our Services would send to, and our policies cut off."""
    for what, evidence in caught(seen.objects, [p for p in seen.pods or () if not seen.ours(p)]):
        yield Check("names", "fail", what, evidence, _elsewhere(seen))


def caught(objects: Sequence[Json], pods: Iterable[Json]) -> Iterator[tuple[str, str]]:
    """What is wrong, and the evidence, where one of our objects selects pods of others.

    Args:
        objects: rendered.
        pods: those of the namespace that are not the cluster's; ended ones count for nothing.
    """
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]
    by_term: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for item in objects:
        term, own = _term(item), _labels(item).get(labels.OURS)
        if (
            term and term.get(labels.OURS, own) == own
        ):  # another one is that of the cluster that a RayJob selects
            by_term.setdefault(tuple(term.items()), []).append(f"{item['kind']}/{item['metadata']['name']}")
    for words, selecting in by_term.items():
        found = [pod for pod in alive if labels.matches({"matchLabels": dict(words)}, _labels(pod))]
        if found:
            text = ", ".join(f"{key}={value}" for key, value in words)
            evidence = f"{_list('pod', found)} {'carries' if len(found) == 1 else 'carry'} its labels {text}"
            yield f"{' and '.join(selecting)} would also select somebody else's pods", evidence


def selectors(objects: Sequence[Json]) -> list[str]:
    """As few label selectors as find every pod that the objects select, but for those of our own label.

    Those of one and the same label are one; what another of them includes is left out.
    """
    every = [dict(words) for words in dict.fromkeys(tuple(sorted(_term(item).items())) for item in objects)]
    every = [one for one in every if one]
    widest = [one for one in every if not any(o != one and o.items() <= one.items() for o in every)]
    single: dict[str, list[str]] = {}
    several = []
    for one in widest:
        if labels.OURS in one:
            continue  # nobody else's pods have our label and another cluster's name at once
        if len(one) == 1:
            ((key, value),) = one.items()
            single.setdefault(key, []).append(value)
        else:
            several.append(",".join(f"{key}={value}" for key, value in one.items()))
    return [*(f"{key} in ({','.join(values)})" for key, values in single.items()), *several]


def _term(item: Json) -> dict[str, str]:
    """The labels by which a Service or a NetworkPolicy selects pods; {} for none, and for other kinds."""
    spec = item.get("spec") or {}
    if item["kind"] == "Service":
        return dict(spec.get("selector") or {})
    return (
        dict((spec.get("podSelector") or {}).get("matchLabels") or {})
        if item["kind"] == "NetworkPolicy"
        else {}
    )


def _catchers(seen: Observations) -> Iterator[Check]:
    """Services of others that would send to our pods."""
    for item in seen.services or ():
        selector = (item.get("spec") or {}).get("selector")
        if seen.ours(item) or not selector:
            continue
        groups = [str(g.group) for g in seen.groups if labels.matches({"matchLabels": selector}, g.labels)]
        taken = {(o["kind"], o["metadata"]["name"]) for o in seen.objects}
        if groups and ("Service", item["metadata"]["name"]) not in taken:
            what = (
                f"somebody else's Service {item['metadata']['name']} would also send to {', '.join(groups)}"
            )
            text = ", ".join(f"{key}={value}" for key, value in selector.items())
            yield Check(
                "names", "warn", what, f"its selector is {text}", "give that Service a narrower selector"
            )


def _elsewhere(seen: Observations) -> str:
    """The built-in spec under another name has names and labels of its own; else only a namespace helps."""
    other = f"raystead up --name {seen.name}-2\nor " if seen.context.guide else ""
    return f"{other}{seen.up} -n NAMESPACE"


def _labels(item: Json) -> dict[str, str]:
    return dict((item.get("metadata") or {}).get("labels") or {})


def _list(kind: str, items: list[Json]) -> str:
    shown = ", ".join(f"{kind}/{item['metadata']['name']}" for item in items[:_SHOWN])
    return shown + (f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else "")
