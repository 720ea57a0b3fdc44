"""What the API server answers to a dry-run of each object: the object as it would be, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import Struct

from raystead.errors import ApiError, Conflict, Forbidden, ObjectNotFound
from raystead.kube.api import Api, Json
from raystead.kube.parallel import parallel
from raystead.kube.paths import Discovery
from raystead.live.imposed import Imposed, imposed
from raystead.ops import companions
from raystead.ops.specs import Desired
from raystead.plan.make import key_of
from raystead.plan.model import Key, Plan

__all__ = ["DryRun", "dry_run", "no_such_namespace"]


class DryRun(Struct, frozen=True):
    """The server's answers.

    Attributes:
        answers: each object as it would be; of one with a conflict, were it taken over.
        refusals: why the server does not take an object; it has no answer.
        strangers: objects that are there under our names and lack our label.
        conflicts: objects with fields that somebody else manages.
    """

    answers: Mapping[Key, Json]
    refusals: Mapping[Key, str]
    strangers: Sequence[Json]
    conflicts: Mapping[Key, Conflict]

    def imposed(self, objects: Sequence[Json]) -> list[Imposed]:
        """What the namespace adds to the Jobs among the objects."""
        jobs = [item for item in objects if item["kind"] == "Job" and key_of(item) in self.answers]
        return [one for job in jobs for one in imposed(job, self.answers[key_of(job)])]

    def marked(self, plan: Plan) -> Plan:
        """The plan with each conflict at its object and among the problems."""
        if not self.conflicts:
            return plan
        changes = tuple(
            replace(change, conflict=self.conflicts[change.key].what)
            if change.key in self.conflicts
            else change
            for change in plan.changes
        )
        problems = tuple(f"{error.what}; {error.remedy}" for error in self.conflicts.values())
        return replace(plan, changes=changes, problems=(*plan.problems, *problems))


def dry_run(
    api: Api,
    paths: Discovery,
    objects: Sequence[Json],
    asked: Desired,
    live: Sequence[Json],
    *,
    force: bool,
) -> DryRun:
    """Asks the server what an apply of the objects, and of the file's other documents, would do.

    Args:
        live: the cluster's objects that are there.
        force: take over fields that somebody else manages.

    Raises:
        Forbidden: this user may not apply an object of ours.
        ApiError: the namespace is missing or being deleted, or the server cannot answer now.
    """
    ours = {key_of(item) for item in live}
    places = {id(item): f" ({place})" if place else "" for item, place in asked.placed}
    answers: dict[Key, Json] = {}
    refusals: dict[Key, str] = {}
    strangers: list[Json] = []
    conflicts: dict[Key, Conflict] = {}

    def ask(item: Json) -> tuple[Json, Json | ApiError]:
        try:
            path = paths.path(item, api.namespace)
            if "/namespaces/" not in path:
                raise ApiError(
                    "its kind belongs to no namespace, and raystead works in one alone", status=422
                )
            return item, api.apply(path, item, dry_run=True, force=force)
        except Forbidden as error:
            if id(item) not in places:
                raise
            return item, error  # of a companion: a right that a namespace's editor may lack
        except ApiError as error:
            return item, error

    for item, answer in parallel(ask, (*objects, *asked.foreign)):
        key = key_of(item)
        if isinstance(answer, ObjectNotFound) and companions.waits_for_role(item, (*objects, *asked.foreign)):
            if found := next((one for one in live if key_of(one) == key), None):
                answers[key] = found
            continue
        if isinstance(answer, ApiError):
            _refused(api, answer)
            if key not in ours and isinstance(answer, Conflict):
                strangers.append({**api.get(paths.path(item, api.namespace)), "kind": item["kind"]})
            elif isinstance(answer, Conflict):
                conflicts[key] = answer
                forced = api.apply(paths.path(item, api.namespace), item, dry_run=True, force=True)
                answers[key] = forced
                continue
            reason = _refusal(answer, places.get(id(item)))
            refusals[key] = asked.source.located(reason, item) if asked.source else reason
            continue
        answers[key] = answer
        # A dry-run of a create has no resourceVersion; with one, the object is there and lacks our label.
        if key not in ours and answer["metadata"].get("resourceVersion"):
            strangers.append({**api.get(paths.path(item, api.namespace)), "kind": item["kind"]})
    return DryRun(answers, refusals, strangers, conflicts)


def _refusal(error: ApiError, place: str | None) -> str:
    """Why the server refuses an object, and of a companion (`place` is not None) where it stands."""
    plain = isinstance(error, Forbidden) or (place is not None and error.status == 404)
    return (error.what if plain or not error.evidence else error.evidence) + (place or "")


def _refused(api: Api, error: ApiError) -> None:
    """Raises what concerns the whole namespace instead of listing it for every object."""
    if error.reason == "NamespaceTerminating" or error.status in (0, 429) or error.status >= 500:
        raise error
    if isinstance(error, ObjectNotFound) and "namespaces" in error.evidence:
        raise no_such_namespace(api.namespace, error) from error


def no_such_namespace(namespace: str, answer: ObjectNotFound) -> ApiError:
    """The error where the namespace itself is missing, which the server's answer said."""
    return ApiError(
        f"there is no namespace {namespace}",
        evidence=answer.evidence,
        remedy="choose one of yours with -n",
        status=404,
    )
