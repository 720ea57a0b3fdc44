"""From desired objects, live ones and the server's own answers to a plan.

Live is compared with what the server answered to a dry-run of the apply, never with our rendering: only the
server knows its defaults and how it writes quantities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from msgspec import Struct

from raystead.base import labels, names
from raystead.base.groups import GroupId
from raystead.base.kinds import CLAIM, KINDS
from raystead.base.kinds import names as kind_names
from raystead.base.version import __version__
from raystead.live.maker import Maker
from raystead.live.makers import makers_of
from raystead.live.pods import Pod, pods_of
from raystead.live.reading import touches
from raystead.plan import losses, reasons
from raystead.plan.fields import differences, secret_differences, secret_keys
from raystead.plan.model import Action, By, Change, FieldChange, Key, Plan
from raystead.spec.model import Json, RayCluster

__all__ = ["key_of", "make"]

_ORDER = kind_names()  # of deletions: what runs goes first, what it needs goes last
_IMMUTABLE = ("immutable", "updates to statefulset spec", "may not change once set", "may not be changed")


def key_of(item: Json) -> Key:
    return (str(item["kind"]), str(item["metadata"]["name"]))


def make(
    wanted: Sequence[Json],
    live: Sequence[Json],
    answers: Mapping[Key, Json],
    *,
    desired: RayCluster,
    applied: RayCluster | None = None,
    refusals: Mapping[Key, str] | None = None,
    rendered_by: str = "",
    previous: Sequence[Json] | None = None,
    pods: Sequence[Json] = (),
    reveal: bool = False,
) -> Plan:
    """What an apply of `wanted` would do.

    Args:
        wanted: objects to apply, in order; of Secrets only names and keys are read.
        live: all objects with our label, and every object that has the name of a wanted one.
        answers: the server's answer to the dry-run of each wanted object that is live.
        desired: the spec that `wanted` was rendered from.
        applied: the spec in the anchor; None at the first `up`.
        refusals: the server's words where it refused a dry-run; these have no answer.
        rendered_by: version of the raystead that wrote the anchor.
        previous: what this raystead renders for `applied` with the anchor's facts; tells the user's changes
            from those of a newer raystead.
        pods: the cluster's pods; read only of groups whose maker does not count them.
        reveal: values that may be secrets stand in the plan; those of Secrets never do.

    Raises:
        KeyError: a wanted object is live and has neither answer nor refusal.
    """
    case = _Case(wanted, live, answers, desired, applied, refusals or {}, rendered_by, previous, pods, reveal)
    changes = [case.one(item) for item in wanted]
    changes += case.deletions()
    return Plan(tuple(changes), tuple(case.notes(changes)), tuple(case.problems()))


class _Case(Struct, frozen=True, dict=True):
    wanted: Sequence[Json]
    live_objects: Sequence[Json]
    answers: Mapping[Key, Json]
    desired: RayCluster
    applied: RayCluster | None
    refusals: Mapping[Key, str]
    rendered_by: str
    previous_objects: Sequence[Json] | None
    pod_objects: Sequence[Json] = ()
    reveal: bool = False

    @cached_property
    def pods(self) -> dict[GroupId, list[Pod]]:
        out: dict[GroupId, list[Pod]] = {}
        for pod in pods_of(self.pod_objects):
            out.setdefault(pod.group, []).append(pod)
        return out

    @cached_property
    def live(self) -> dict[Key, Json]:
        return {key_of(item): item for item in self.live_objects}

    @cached_property
    def keys(self) -> set[Key]:
        return {key_of(item) for item in self.wanted}

    @cached_property
    def previous(self) -> dict[Key, Json]:
        return {key_of(item): item for item in self.previous_objects or ()}

    def one(self, item: Json) -> Change:
        kind, name = key = key_of(item)
        live = self.live.get(key)
        if live is None:
            return Change(Action.CREATE, kind, name, by=self._presence(key))
        if self._foreign(item, live):
            return Change(Action.UNCHANGED, kind, name, reason="not this cluster's")
        if live["metadata"].get("deletionTimestamp"):
            return self._replaced(item, live, "the old one is still being deleted")
        if kind == "Secret" and key in self.answers:  # a companion's: ours are made, not applied
            fields = secret_differences(live, self.answers[key])
            return Change(Action.CHANGE if fields else Action.UNCHANGED, kind, name, fields)
        if kind == "Secret" and key not in self.refusals:
            missing = sorted(secret_keys(item) - secret_keys(live))
            fields = tuple(FieldChange(f"data.{key}", None, "***") for key in missing)
            return Change(Action.CHANGE if fields else Action.UNCHANGED, kind, name, fields)
        if key in self.refusals and self._replaceable(key):
            return self._replaced(item, live, self.refusals[key])
        if key in self.refusals:
            return Change(Action.CHANGE, kind, name, reason="refused by the server")
        fields = self._attributed(key, item, differences(live, self.answers[key], reveal=self.reveal))
        if not fields:
            return Change(Action.UNCHANGED, kind, name)
        return self._weighed(Change(Action.CHANGE, kind, name, fields), live, self.answers[key])

    def _weighed(self, change: Change, live: Json, after: Json) -> Change:
        """The change with the pods it costs and the state that dies."""
        return self._costing(change, makers_of(live), {maker.id: maker for maker in makers_of(after)})

    def _costing(self, change: Change, before: Sequence[Maker], after: Mapping[GroupId, Maker]) -> Change:
        paths, anew = [field.path for field in change.fields], change.action is Action.REPLACE
        for maker in before:
            new, pods = after.get(maker.id), self.pods.get(maker.id, ())
            cost = maker.cost(new, paths, anew=anew, pods=pods)
            loses = [change.loses, losses.loses(maker, new, change.action, cost)]
            change = replace(
                change,
                restarts=change.restarts + cost.restarts,
                stops=change.stops + cost.stops,
                loses="; ".join(dict.fromkeys(filter(None, loses))),
            )
        return change

    def _replaced(self, item: Json, live: Json, why: str) -> Change:
        kind, name = key_of(item)
        paths = KINDS[kind].immutable if kind in KINDS else ()
        fields = tuple(
            change
            for change in differences(live, item, reveal=self.reveal)
            if touches(change.path, paths) and change.after is not None
        )
        reason = why
        if fields:
            reason = f"{' and '.join(_short(fields))} cannot be changed in place"
        return self._weighed(Change(Action.REPLACE, kind, name, fields, reason=reason), live, item)

    def _attributed(self, key: Key, item: Json, changes: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
        """Each change with who wants it: the spec where its rendering moved, else version or drift."""
        if key not in self.previous:
            return changes
        users = [change.path for change in differences(self.previous[key], item)]
        other = By.VERSION if self._other_version else By.DRIFT
        return tuple(c if touches(c.path, users) else replace(c, by=other) for c in changes)

    @property
    def _other_version(self) -> bool:
        return bool(self.rendered_by) and self.rendered_by != __version__

    def _presence(self, key: Key) -> By:
        """Who wants that an object comes, which the applied spec should have brought already."""
        if key not in self.previous:
            return By.SPEC
        return By.VERSION if self._other_version else By.DRIFT

    def deletions(self) -> list[Change]:
        """Ours and no longer wanted."""
        gone = [item for key, item in self.live.items() if key not in self.keys and self._deletable(item)]
        gone.sort(key=lambda item: (_ORDER.index(item["kind"]), item["metadata"]["name"]))
        return [self._deleted(item) for item in gone]

    def _deletable(self, item: Json) -> bool:
        kind, name = key_of(item)
        row = KINDS.get(kind)
        if row is None or not row.owned or row.holds_state or not self._is_ours(item):
            return False
        if row.rare and not self._owned(item):
            return False  # the lease of `run` is a Job with our label, and owns the anchor instead
        if (kind, name) == ("ConfigMap", names.anchor(self.desired.name)):
            return False
        if kind == "Secret" and name in reasons.secrets_named(self.wanted):
            return False
        return not item["metadata"].get("deletionTimestamp")

    def _deleted(self, item: Json) -> Change:
        kind, name = key_of(item)
        rendered = bool(self.previous) and kind != "Secret"  # Secrets are made at `up`, never rendered
        by = By.VERSION if rendered and (kind, name) not in self.previous else By.SPEC
        reason = reasons.deletion(item, self.applied, self.desired, self.wanted, by)
        return self._costing(Change(Action.DELETE, kind, name, reason=reason, by=by), makers_of(item), {})

    def _is_ours(self, item: Json) -> bool:
        """It has our label, or the anchor as owner (somebody may have taken the label off)."""
        label = (item["metadata"].get("labels") or {}).get(labels.OURS)
        return label == self.desired.name or (label is None and self._owned(item))

    def _owned(self, item: Json) -> bool:
        owners = {(o.get("kind"), o.get("name")) for o in item["metadata"].get("ownerReferences") or []}
        return ("ConfigMap", names.anchor(self.desired.name)) in owners

    def _foreign(self, item: Json, live: Json) -> bool:
        """The spec makes an object of that name and the live one is not this cluster's."""
        return self._is_ours(item) and not self._is_ours(live)

    def problems(self) -> Iterator[str]:
        for item in self.wanted:
            kind, name = key = key_of(item)
            live = self.live.get(key)
            if live is not None and self._foreign(item, live):
                yield reasons.foreign(live, self.desired.name)
            elif key in self.refusals and (live is None or not self._replaceable(key)):
                yield f"{kind}/{name} is refused by the server: {self.refusals[key]}"

    def _replaceable(self, key: Key) -> bool:
        row = KINDS.get(key[0])
        return bool(row and row.immutable) and any(word in self.refusals[key].lower() for word in _IMMUTABLE)

    def notes(self, changes: Sequence[Change]) -> Iterator[str]:
        yield from reasons.of_version(changes, self.rendered_by, __version__)
        yield from reasons.of_drift(changes)
        for key, item in self.live.items():
            if key[0] == CLAIM and key not in self.keys and self._is_ours(item):
                yield from reasons.claim_left(item, self.wanted)
        for change in changes:
            if any(touches(one.path, ["spec.volumeClaimTemplates"]) for one in change.fields):
                yield from reasons.claims_kept(change, self.live_objects)


def _short(fields: Sequence[FieldChange]) -> list[str]:
    out = [change.path.removeprefix("spec.").split(".")[0].split("[")[0] for change in fields]
    return list(dict.fromkeys(out))
