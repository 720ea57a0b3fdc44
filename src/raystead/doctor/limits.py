"""LimitRange: what one container, pod or claim may ask for, and what it gets when it does not say."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS
from raystead.doctor.amounts import Amounts, effective, requests_of, shown
from raystead.doctor.model import Check, Observations, Pods
from raystead.spec.model import Json

__all__ = ["check", "with_defaults"]


def check(seen: Observations) -> Iterator[Check]:
    """One check per group that breaks a rule, otherwise one for all."""
    if seen.limitranges is None:
        why = "LimitRanges may not be read: whether the sizes are allowed is not known"
        yield Check("limits", "unknown", why, seen.unread.get("limitranges", ""), "raystead doctor --rbac")
        return
    if not seen.limitranges:
        yield Check("limits", "ok", "the namespace has no LimitRange")
        return
    broken = False
    for pods in seen.groups:
        if pods.wanted and (found := list(_pod(seen.limitranges, with_defaults(pods.pod, seen.limitranges)))):
            broken = True
            yield _check(seen, pods, found)
    if claims := list(_claims(seen)):
        broken = True
        yield Check("limits", "fail", f"the volume will be refused: {'; '.join(claims)}", _names(seen))
    if not broken:
        yield Check("limits", "ok", f"all sizes are within {_names(seen)}")


def with_defaults(pod: Json, ranges: tuple[Json, ...]) -> Json:
    """The pod as LimitRanges fill it in, where the server has not shown it."""
    spec = dict(pod["spec"])
    for key in ("initContainers", "containers"):
        if spec.get(key):
            spec[key] = [_filled(container, ranges) for container in spec[key]]
    return {**pod, "spec": spec}


def _filled(container: Json, ranges: tuple[Json, ...]) -> Json:
    resources = container.get("resources") or {}
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    given = set(limits)
    for item in _items(ranges, "Container"):
        for name, value in (item.get("default") or {}).items():
            limits.setdefault(name, value)
        for name, value in (item.get("defaultRequest") or {}).items():
            if name not in given:  # a limit that was said is the request too
                requests.setdefault(name, value)
    return {**container, "resources": {**resources, "limits": limits, "requests": requests}}


def _items(ranges: tuple[Json, ...], kind: str) -> Iterator[Json]:
    for item in ranges:
        yield from (one for one in item["spec"].get("limits") or [] if one.get("type") == kind)


class _Broken(Struct, frozen=True):
    """A rule that does not hold; `fits` is an amount of `resource` that would, as request and limit."""

    text: str
    resource: str
    fits: Decimal


def _pod(ranges: tuple[Json, ...], pod: Json) -> Iterator[_Broken]:
    for item in _items(ranges, "Container"):
        for container in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]:
            sides = requests_of(container, "requests"), requests_of(container, "limits")
            for broken in _rules(item, *sides):
                yield replace(broken, text=f"container {container['name']}: {broken.text}")
    for item in _items(ranges, "Pod"):
        sides = effective(pod["spec"], "requests"), effective(pod["spec"], "limits")
        for broken in _rules(item, *sides):
            yield replace(broken, text=f"the whole pod: {broken.text}")


def _rules(item: Json, requests: Amounts, limits: Amounts) -> Iterator[_Broken]:
    for name, value in (item.get("min") or {}).items():
        least, bound_text = quantities.parse(value), f"the minimum {value}"
        if name not in requests:
            yield _Broken(f"{name} must be given, at least {value}", name, least)
        elif requests[name] < least:
            yield _Broken(f"{name} {shown(name, requests[name])} is under {bound_text}", name, least)
        elif name in limits and limits[name] < least:
            yield _Broken(
                f"the limit of {name} {shown(name, limits[name])} is under {bound_text}", name, least
            )
    for name, value in (item.get("max") or {}).items():
        most, bound_text = quantities.parse(value), f"the maximum {value}"
        if name not in limits:
            yield _Broken(f"{name} must have a limit, at most {value}", name, most)
        elif limits[name] > most:
            yield _Broken(f"the limit of {name} {shown(name, limits[name])} is over {bound_text}", name, most)
        elif requests.get(name, Decimal(0)) > most:
            yield _Broken(f"{name} {shown(name, requests[name])} is over {bound_text}", name, most)
    for name, value in (item.get("maxLimitRequestRatio") or {}).items():
        bound, limit = quantities.parse(value), limits.get(name, Decimal(0))
        if not requests.get(name) or not limit:
            text = (
                f"{name} must have a request and a limit, for their ratio is bounded by {bound.normalize():f}"
            )
            yield _Broken(text, name, limit or requests.get(name, Decimal(0)))
        elif limit / requests[name] > bound:
            text = f"the limit of {name} is {float(limit / requests[name]):.3g} times its request, "
            yield _Broken(text + f"allowed are {bound.normalize():f} times", name, limit)


def _claims(seen: Observations) -> Iterator[str]:
    templates = [c for o in seen.objects for c in (o.get("spec") or {}).get("volumeClaimTemplates") or []]
    templates += [o for o in seen.objects if o["kind"] == "PersistentVolumeClaim"]
    for claim in templates:
        amounts = {"storage": quantities.parse(claim["spec"]["resources"]["requests"]["storage"])}
        for item in _items(seen.limitranges or (), "PersistentVolumeClaim"):
            bounds: Json = {key: item[key] for key in ("min", "max") if key in item}
            # a claim has a request alone; it stands for the limit that the maximum asks about
            yield from (
                f"claim {claim['metadata']['name']}: {b.text}" for b in _rules(bounds, amounts, amounts)
            )


def _check(seen: Observations, pods: Pods, found: list[_Broken]) -> Check:
    texts = "; ".join(dict.fromkeys(broken.text for broken in found))
    what = f"{pods.one} will be refused: {texts}"
    send = f'send to the administrator: "please change {_names(seen)} in namespace {seen.facts.namespace}: '
    send += f'{texts}"'
    if pods.group == REDIS:
        return Check("limits", "fail", what, _names(seen), send)
    side = "head" if pods.group == HEAD else "worker"
    fits: dict[str, Decimal] = {}
    for broken in found:  # the first of a resource bounds its value; its ratio is 1 then
        fits.setdefault(broken.resource, broken.fits)
    flags = [f"--{side}-{name} {shown(name, fits[name])}" for name in ("cpu", "memory") if name in fits]
    remedy = f"{seen.up} {' '.join(flags)}\nor {send}" if flags else send
    return Check("limits", "fail", what, _names(seen), remedy)


def _names(seen: Observations) -> str:
    return ", ".join(f"LimitRange {item['metadata']['name']}" for item in seen.limitranges or ())
