"""What `doctor` knows, asked before `plan` and `up` change anything: the same checks, words and numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from raystead.base import kinds
from raystead.base.groups import GroupId
from raystead.base.version import __version__
from raystead.doctor.judge import standing_in_the_way
from raystead.doctor.model import Check, Client, Objects, Observations, Pods
from raystead.errors import ApiError, Forbidden, ObjectNotFound, ProblemsFound
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import collection
from raystead.live.makers import makers_of
from raystead.ops.planning import Prepared
from raystead.ops.rights import Rights, rights
from raystead.ops.source import SpecSource
from raystead.plan.make import key_of
from raystead.plan.model import Action, makes_pods

__all__ = ["answers_to", "failing", "listed_nodes", "refusal", "refuse_failing"]

_LISTS = kinds.parts("Event", "ReplicaSet", "Deployment", "StatefulSet", "Service", "NetworkPolicy")
_LIVE = {row.part: kind for kind in ("Deployment", "StatefulSet", "Service") for row in (kinds.KINDS[kind],)}
_MOST = 5  # pods of different groups that are tried


def failing(prepared: Prepared, up: str) -> tuple[Check, ...]:
    """The checks that fail for the pods that the plan makes; nothing is asked where it makes none.

    Args:
        up: the words that bring this spec up, for remedies.

    Raises:
        ApiUnreachable
    """
    groups = _changing(prepared)
    if not groups:
        return ()
    api = prepared.api
    lists: dict[str, Any] = dict(zip(_LISTS, parallel(lambda part: _listed(api, part), _LISTS), strict=True))
    lists |= {part: tuple(i for i in prepared.live if i["kind"] == kind) for part, kind in _LIVE.items()}
    made = prepared.plan.of(Action.CREATE)
    seen = Observations(
        cluster=prepared.cluster,
        facts=prepared.facts,
        choices=prepared.choices,
        up=up,
        client=Client(__version__),
        objects=prepared.objects,
        companions=prepared.foreign,
        exists=prepared.anchor is not None,
        default_class=None if prepared.facts.has_default_storage else "?",
        policies=prepared.policies,
        secrets=dict.fromkeys(change.name for change in made if change.kind == "Secret"),
        **lists,
    )
    told = {one for item in prepared.objects if key_of(item) in prepared.refused for one in _groups(item)}
    tried = [p for p in seen.groups if p.group in groups - told]
    tried = sorted(tried, key=lambda pods: not pods.wanted)[:_MOST]
    with contextlib.suppress(Forbidden):  # no pod may be tried: the rest is known all the same
        comes = (*seen.objects, *seen.companions)
        seen = replace(seen, admission=answers_to(api, tried, comes, prepared.source))
    if any(check.name == "nodes" for check in standing_in_the_way(seen, groups)):
        seen = replace(seen, nodes=listed_nodes(api, rights(api)))
    return standing_in_the_way(seen, groups)


def refuse_failing(prepared: Prepared, up: str, *, otherwise: str) -> None:
    """Refuses a change after which the cluster would not be whole, before anything is stopped or made.

    Args:
        otherwise: how to go on all the same.

    Raises:
        ProblemsFound: with what each check says and its remedy.
    """
    failed = [check for check in failing(prepared, up) if check.verdict == "fail"]
    if failed:
        raise refusal(failed, otherwise)


def refusal(failed: Sequence[Check], otherwise: str) -> ProblemsFound:
    """The error of checks that fail."""
    return ProblemsFound(
        "; ".join(f"{check.name}: {check.what}" for check in failed),
        evidence="nothing was changed",
        remedy="\n".join([*dict.fromkeys(check.remedy for check in failed if check.remedy), otherwise]),
    )


def answers_to(
    api: Api, tried: Iterable[Pods], objects: Iterable[Json], source: SpecSource | None
) -> dict[GroupId, Json | str]:
    """By group, what the server answers to the creation of one pod that is not made: it, or why not.

    Args:
        objects: what is made with the pods; a ServiceAccount among them need not be there yet.
        source: the file that they come from; what is refused is told with its place there.

    Raises:
        Forbidden: the user may not create pods.
    """

    comes = {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}

    def answer(pods: Pods) -> Json | str:
        metadata = {**pods.pod.get("metadata", {}), "generateName": "raystead-doctor-"}
        spec = dict(pods.pod["spec"])
        if spec.get("serviceAccountName") in comes:
            del spec["serviceAccountName"]
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        try:
            return api.create(collection(api.namespace, "Pod"), body, dry_run=True)
        except ApiError as error:
            if isinstance(error, Forbidden) or error.status in (0, 429, 503, 504):
                raise  # a webhook that fails answers 500
            refusal = error.evidence or error.what
            return source.located_in_pod(refusal, pods.group, body) if source else refusal

    tried = list(tried)
    return {pods.group: found for pods, found in zip(tried, parallel(answer, tried), strict=True)}


def listed_nodes(api: Api, have: Rights) -> Objects:
    """The cluster's nodes, which few users of a namespace may list; None: not this one."""
    if not have.allows("list", "nodes"):
        return None
    try:
        return tuple(api.list("/api/v1/nodes"))
    except (Forbidden, ObjectNotFound):
        return None  # a role of the namespace alone names them, and gives nothing


def _listed(api: Api, part: str) -> Objects:
    row = _LISTS[part]
    try:
        return tuple({**item, "kind": row.name} for item in api.list(collection(api.namespace, row.name)))
    except Forbidden:
        return None


def _groups(item: Json) -> list[GroupId]:
    return [maker.id for maker in makers_of(item)]


def _changing(prepared: Prepared) -> frozenset[GroupId]:
    """Groups of which pods will be made: created, replaced, of another template, or more of them."""
    makers = {key_of(item): _groups(item) for item in prepared.objects}
    making = [change.key for change in prepared.plan.mutating if makes_pods(change)]
    return frozenset(one for key in making for one in makers.get(key, ()))
