"""From a file and flags to the one cluster that every verb works on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import structs

from raystead.errors import SpecError
from raystead.manifests.doors import foreign_doors
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.manifests.notes import notes
from raystead.manifests.render import manifests, secret_commands
from raystead.ops import companions
from raystead.ops.anchor import Anchor
from raystead.ops.source import SpecSource
from raystead.spec.documents import RayDocument
from raystead.spec.edits import suspended
from raystead.spec.flags import Flags, build, notes_of
from raystead.spec.idle import idle_end
from raystead.spec.load import load, unpacked
from raystead.spec.model import Json, RayCluster
from raystead.spec.problems import SpecNote, problems_error
from raystead.spec.yamlio import read

if TYPE_CHECKING:
    from raystead.kube.api import Api

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # that of generated names in Kubernetes
_STEM = 42  # a RayJob's name has 47 characters at most


@dataclass(frozen=True)
class Desired:
    """What the user asked for: the document, the foreign documents of its file, and notes on the file."""

    document: RayDocument
    foreign: tuple[Json, ...] = ()
    notes: tuple[SpecNote, ...] = ()
    places: tuple[str, ...] = ()  # file and line of each foreign document
    source: SpecSource | None = None  # the file
    # of an `up`: whether --autoscale was typed, and so the head may restart for a steward with rights
    autoscale: bool | None = None

    @property
    def placed(self) -> tuple[tuple[Json, str], ...]:
        """The foreign documents, each with its file and line; "" where they came from no file."""
        places = (*self.places, *[""] * len(self.foreign))
        return tuple(zip(self.foreign, places, strict=False))

    @property
    def cluster(self) -> RayCluster:
        """The cluster that the document asks for."""
        return self.document.cluster


@dataclass(frozen=True)
class Rendered:
    """Objects in the order in which they can be applied, the commands that make what they need, and notes."""

    objects: tuple[Json, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()


def desired(
    flags: Flags,
    text: str | None = None,
    filename: str = "",
    *,
    home: str | None = None,
    running: RayCluster | None = None,
) -> Desired:
    """The spec of `text` with the flags laid over it, or that of `running`, or the built-in one.

    Args:
        home: the namespace where all goes when neither the flags nor the file name one.

    Raises:
        SpecError: with every problem of the file or of the flags.
    """
    if text is None:
        cluster = build(flags, running)
        return Desired(cluster, notes=notes_of(cluster))
    told: tuple[SpecNote, ...] = ()
    if not flags.name and (stem := generates(text, filename)):
        flags = structs.replace(flags, name=f"{stem}{''.join(secrets.choice(_ALPHABET) for _ in range(5))}")
        told = (
            SpecNote(
                filename,
                1,
                1,
                "metadata.generateName",
                f"this job is {flags.name}; each up makes another",
                "",
            ),
        )
    try:
        file = load(text, filename, flags)
    except SpecError as error:
        if more := companions.beside(text, filename, flags.namespace):
            raise problems_error([*error.problems, *more]) from None  # type: ignore[list-item]
        raise
    namespace = flags.namespace or file.cluster.metadata.namespace or home
    found = companions.checked(file.cluster, file.foreign_documents, filename, namespace)
    all_notes = (*told, *file.notes, *found.notes)
    return Desired(file.document, found.documents, all_notes, found.places, SpecSource(text, filename))


def generates(text: str, filename: str) -> str:
    """What a RayJob's name is generated from, as `kubectl create` does it; "" where the file names it."""
    for item in (one for whole in read(text, filename)[0] for one in unpacked(whole)):
        value = item.value if isinstance(item.value, dict) else {}
        metadata = value.get("metadata")
        if value.get("kind") == "RayJob" and isinstance(metadata, dict) and not metadata.get("name"):
            return str(metadata.get("generateName") or "")[:_STEM]
    return ""


def built(flags: Flags, anchor: Anchor | None) -> RayDocument:
    """The cluster's own document with the flags laid over it, or the built-in spec with the flags.

    Raises:
        SpecError: with every problem of the flags.
    """
    if anchor is None:
        return build(flags)
    return anchor.document.with_cluster(build(flags, anchor.cluster))


def with_suspend(document: RayDocument, suspend: bool) -> RayDocument:
    """The document suspended, or not: a RayJob or RayCronJob says so itself, not its cluster."""
    from raystead.spec.rayjob import RayCronJob, RayJob

    if isinstance(document, RayJob | RayCronJob):
        return document.with_suspend(suspend)
    return suspended(document.cluster, suspend)


def located(
    api: Api, flags: Flags, text: str | None = None, filename: str = "", *, namespace: str | None = None
) -> tuple[Api, Desired]:
    """What a file asks for, and the API server in the namespace that is meant.

    The one place that decides it: the namespace chosen in words, else the file's own, else the context's,
    as in kubectl.

    Raises:
        SpecError: with every problem of the file or of the flags.
    """
    asked = desired(structs.replace(flags, namespace=namespace), text, filename, home=api.namespace)
    return api.inside(namespace or asked.cluster.metadata.namespace), asked


def render(wanted: Desired, facts: Facts, choices: Choices = NO_CHOICES) -> Rendered:
    """The Kubernetes objects of the cluster, foreign documents of the file last."""
    facts = replace(facts, doors=foreign_doors(wanted.cluster, wanted.foreign))
    if wanted.document.kind == "RayJob":
        from raystead.ops.selecting import guessed

        document, facts, told = guessed(wanted.document, facts)
        if told:
            return Rendered((*manifests(document, facts, choices), *wanted.foreign), (), (told,))
    objects = (*manifests(wanted.document, facts, choices), *wanted.foreign)
    commands = tuple(secret_commands(wanted.cluster, facts))
    told_of = [*notes(wanted.cluster, facts)]
    if wanted.document.kind == "RayCluster" and idle_end(wanted.cluster):
        told_of.append(
            "applied by kubectl, nothing here has an owner, so its keeper ends nothing: raystead up"
        )
    return Rendered(objects, commands, tuple(told_of))
