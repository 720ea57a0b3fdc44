"""`down -f FILE`: the other documents of the file too, those that are provably what `up` applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raystead.base.kinds import CLAIM
from raystead.errors import ApiError, Conflict, ObjectNotFound
from raystead.kube.api import MANAGER, Api, Json
from raystead.kube.paths import Discovery
from raystead.ops.clusters import anchors
from raystead.ops.companions import word
from raystead.ops.events import Applied, Event
from raystead.plan.drift import CONTROLLERS
from raystead.plan.model import Action

__all__ = ["Removed", "remove"]


@dataclass(frozen=True)
class Removed:
    """What is gone, and what is left with the reason."""

    removed: tuple[str, ...]
    left: tuple[str, ...]


def remove(api: Api, documents: Sequence[Json], *, keep_data: bool, emit: Callable[[Event], None]) -> Removed:
    """Deletes the documents' objects, the last first, each by its uid; those of a running cluster stay.

    Args:
        keep_data: claims stay.
    """
    paths, removed, left = Discovery(api), [], []
    used = {name: anchor.name for anchor in anchors(api) for name in anchor.foreign}
    for item in reversed(documents):
        name = word(item)
        try:
            path = paths.path(item, api.namespace)
            there = api.get(path)
            if why := _why_it_stays(there, item, used.get(name), keep_data):
                left.append(f"{name} ({why})")
                continue
            api.delete(path, uid=there["metadata"]["uid"])
        except ObjectNotFound:
            continue
        except Conflict:
            left.append(f"{name} (another one has that name now)")
        except ApiError as error:
            if error.status == 0:
                raise
            left.append(f"{name} ({error.what})")
        else:
            removed.append(name)
            emit(Applied(item["kind"], item["metadata"]["name"], Action.DELETE))
    return Removed(tuple(removed), tuple(left))


def _why_it_stays(there: Json, item: Json, user: str | None, keep_data: bool) -> str:
    if user:
        return f'the cluster "{user}" has it in its file too'
    if keep_data and item["kind"] == CLAIM:
        return "kept with its data"
    if (MANAGER, "Apply") not in (managers := _managers(there)):
        return "nothing proves that raystead applied it"
    others = sorted({manager for manager, _ in managers if manager != MANAGER})
    return f"{' and '.join(others)} wrote into it too, so it may be in use elsewhere" if others else ""


def _managers(there: Json) -> set[tuple[str, str]]:
    """Who wrote the object, and how, as the server has noted it; controllers and their status left out."""
    return {
        (str(entry.get("manager")), str(entry.get("operation")))
        for entry in there["metadata"].get("managedFields") or ()
        if entry.get("manager") not in CONTROLLERS and entry.get("subresource") != "status"
    }
