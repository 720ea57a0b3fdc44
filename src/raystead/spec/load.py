"""A file's text to the one RayCluster in it, with all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from raystead.spec import rules
from raystead.spec.documents import ACCEPTED, LATER
from raystead.spec.finding import Finding
from raystead.spec.flags import Flags, laid_over
from raystead.spec.foreign import TEMPLATE, Recognised, is_template, named_for_what_it_is, plain_objects
from raystead.spec.model import Json, RayCluster
from raystead.spec.problems import Note, Problem, problems_error
from raystead.spec.shape import explained, value_at, without_faults, without_nulls
from raystead.spec.yamlio import Document, Path, dotted, read

__all__ = ["SpecFile", "load", "unpacked"]


@dataclass(frozen=True)
class SpecFile:
    """The cluster of a file, the documents that are not ours, and notes."""

    cluster: RayCluster
    foreign: tuple[Json, ...] = ()
    notes: tuple[Note, ...] = ()
    foreign_documents: tuple[Document, ...] = ()  # the same, each with its positions


def load(text: str, filename: str, flags: Flags | None = None) -> SpecFile:
    """The file as a cluster, with `flags` laid over it before its rules are asked.

    Raises:
        SpecError: with every problem of the file, each with its position.
    """
    documents, problems = read(text, filename)
    if problems and (template := _template_line(text)):
        raise problems_error([Problem(filename, template, 1, "", *TEMPLATE)])
    sorted_out = _Sorted(filename)
    for document in documents:
        for item in unpacked(document):
            sorted_out.add(item)
    problems += sorted_out.problems
    if not sorted_out.ours and not problems:
        problems.append(Problem(filename, 1, 1, "", *_nothing_of_ours(sorted_out.foreign, text)))
    if not sorted_out.ours:
        raise problems_error(problems)
    cluster, found, notes = _Reading(sorted_out.ours[0], filename, flags or Flags()).cluster()
    problems += found
    if problems or cluster is None:
        raise problems_error(problems)
    documents_of_others = tuple(sorted_out.foreign_documents)
    return SpecFile(cluster, tuple(sorted_out.foreign), tuple(notes), documents_of_others)


class _Sorted:
    """The documents of a file: clusters of ours, and others."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.ours: list[Document] = []
        self.foreign: list[Json] = []
        self.foreign_documents: list[Document] = []
        self.problems: list[Problem] = []

    def add(self, item: Document) -> None:
        value = item.value
        known = named_for_what_it_is(value, self.filename)
        kind = value.get("kind") if isinstance(value, dict) else None
        api = str(value.get("apiVersion", "")) if isinstance(value, dict) else ""
        if known:
            self._problem(item, (), *known)
        elif not (isinstance(kind, str) and kind and api):
            self._problem(item, (), "this document has no apiVersion and kind", "")
        elif api.startswith("ray.io/") and kind in LATER:
            what = f"{kind} is not supported by this version"
            self._problem(item, ("kind",), what, "give the RayCluster in a file of its own")
        elif api.startswith("ray.io/") and kind in ACCEPTED:
            if self.ours:
                self._problem(item, ("kind",), "a second RayCluster", "one file, one cluster")
            self.ours.append(item)
        else:
            name = value_at(value, ("metadata", "name"))
            if not (isinstance(name, str) and name):
                self._problem(item, ("metadata",), f"this {kind} has no name", "add metadata.name")
            self.foreign.append(value)
            self.foreign_documents.append(item)

    def _problem(self, item: Document, path: Path, what: str, instead: str) -> None:
        self.problems.append(Problem(self.filename, *item.at(path), dotted(path), what, instead))


def unpacked(document: Document) -> Iterator[Document]:
    """The items of `kind: List` or RayClusterList, as `kubectl get` prints them; else the document itself."""
    value = document.value
    kind = str(value.get("kind")) if isinstance(value, dict) else ""
    if not (kind.endswith("List") and isinstance(value.get("items"), list)):
        yield document
        return
    positions: dict[int, dict[Path, tuple[int, int]]] = {}
    for path, at in document.positions.items():
        if len(path) > 1 and path[0] == "items" and isinstance(path[1], int):
            positions.setdefault(path[1], {})[path[2:]] = at
    for i, item in enumerate(value["items"]):
        if kind != "List" and isinstance(item, dict):  # a typed list may leave out what all its items share
            item = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List"), **item}
        yield from unpacked(Document(item, positions.get(i, {})))


def _template_line(text: str) -> int | None:
    return next((i for i, line in enumerate(text.splitlines(), 1) if is_template(line)), None)


def _nothing_of_ours(foreign: list[Json], text: str) -> Recognised:
    if not foreign:
        return Recognised("there is no RayCluster in this file", "kind: RayCluster")
    return plain_objects([str(value["kind"]) for value in foreign], text)


class _Reading:
    """One RayCluster document on its way to a cluster."""

    def __init__(self, document: Document, filename: str, flags: Flags) -> None:
        self.document = document
        self.filename = filename
        self.flags = flags
        self.given: Json = without_nulls(document.value)

    def cluster(self) -> tuple[RayCluster | None, list[Problem], list[Note]]:
        """The cluster (for its rules alone where there are problems), its problems, its notes."""
        faults = self._faults(self.given)
        value = without_faults(self.given, faults)
        wanted = self.flags.namespace
        problems = []
        if wanted and value_at(value, ("metadata", "namespace")) not in (None, wanted):
            what = f'the file\'s namespace is not the chosen one, "{wanted}"'
            problems.append(
                self._problem(Finding(("metadata", "namespace"), what, "remove it or choose it with -n"))
            )
        if self._faults(value):  # too little is left of it to lay flags over
            return None, problems + self._told(faults, {}), []
        value, of_flags = laid_over(self.flags, value)
        problems += of_flags
        problems += self._told(faults, value)
        try:
            cluster = RayCluster.model_validate(value)
        except ValidationError as error:
            return None, problems + self._told(explained(error), {}), []
        open_faults = [fault.path for fault in faults if value_at(value, fault.path) is None]
        for finding in rules.problems(cluster):
            if not any(path[: len(finding.path)] == finding.path for path in open_faults):  # told already
                problems.append(self._problem(finding, value))
        return cluster, problems, [self._note(finding) for finding in rules.notes(cluster)]

    def _faults(self, value: Json) -> list[Finding]:
        try:
            RayCluster.model_validate(value)
        except ValidationError as error:
            return list(explained(error))
        return []

    def _told(self, faults: Iterable[Finding], healed: Json) -> list[Problem]:
        """The faults but for those that flags have put right."""
        return [self._problem(fault) for fault in faults if value_at(healed, fault.path) is None]

    def _problem(self, finding: Finding, changed: Json | None = None) -> Problem:
        """With its place in the file, unless a flag has changed what stands there."""
        path, what, instead, other = finding
        if other:
            what += f" (see line {self.document.at(other)[0]})"
        now, then = value_at(changed, path), value_at(self.given, path)
        if changed is not None and now != then and not isinstance(then, dict | list):
            return Problem("flags", 0, 0, dotted(path), what, instead)
        return Problem(self.filename, *self.document.at(path), dotted(path), what, instead)

    def _note(self, finding: Finding) -> Note:
        path, what, instead, _ = finding
        return Note(self.filename, *self.document.at(path), dotted(path), what, instead)
