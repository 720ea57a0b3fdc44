"""A file's text to the one RayCluster, RayJob or RayCronJob in it, with all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from raystead.spec import rules
from raystead.spec.documents import ACCEPTED, CLUSTER_AT, LATER, RayDocument, cluster_json
from raystead.spec.finding import SpecFinding
from raystead.spec.flags import Flags, laid_over
from raystead.spec.foreign import (
    TEMPLATE,
    Recognised,
    is_template,
    named_for_what_it_is,
    pasted,
    plain_objects,
)
from raystead.spec.model import Json, RayCluster
from raystead.spec.model import read as read_as
from raystead.spec.problems import Problem, SpecNote, problems_error
from raystead.spec.shape import (
    ShapeError,
    value_at,
    with_whole_numbers,
    without_faults,
    without_nulls,
    without_what_holds,
)
from raystead.spec.yamlio import Document, Path, dotted, read

__all__ = ["SpecFile", "load", "unpacked"]

P = TypeVar("P", bound=Problem)


class SpecFile(Struct, frozen=True):
    """The document of a file that is ours, those that are not, and notes."""

    document: RayDocument
    foreign: tuple[Json, ...] = ()
    notes: tuple[SpecNote, ...] = ()
    foreign_documents: tuple[Document, ...] = ()  # the same, each with its positions

    @property
    def cluster(self) -> RayCluster:
        return self.document.cluster


def load(text: str, filename: str, flags: Flags | None = None) -> SpecFile:
    """The file's document, with `flags` laid over its cluster before its rules are asked.

    Raises:
        SpecError: with every problem of the file, each with its position.
    """
    documents, problems = read(text, filename)
    if problems and (template := _template_line(text)):
        raise problems_error([Problem(filename, template, 1, "", *TEMPLATE)])
    if around := pasted(text):
        raise problems_error([Problem(filename, around[0], 1, "", *around[1])])
    sorted_out = _Sorted(filename)
    for document in documents:
        for item in unpacked(document):
            sorted_out.add(item)
    problems += sorted_out.problems
    if not sorted_out.ours and not problems:
        problems.append(Problem(filename, 1, 1, "", *_nothing_of_ours(sorted_out.foreign, text)))
    if not sorted_out.ours:
        raise problems_error(problems)
    ours, wish = sorted_out.ours[0], flags or Flags()
    made: RayDocument | None
    if ours.value.get("kind") in CLUSTER_AT:
        made, found, notes = _job(ours, filename, wish)
    else:
        made, found, notes = _ClusterReading(ours, filename, wish).cluster()
    problems += found
    if problems or made is None:
        raise problems_error(problems)
    documents_of_others = tuple(sorted_out.foreign_documents)
    return SpecFile(made, tuple(sorted_out.foreign), tuple(notes), documents_of_others)


def _job(
    document: Document, filename: str, flags: Flags
) -> tuple[RayDocument | None, list[Problem], list[SpecNote]]:
    """A RayJob or RayCronJob: its own rules, and those of the cluster in it."""
    from raystead.spec import cronrules, jobrules
    from raystead.spec.rayjob import RayCronJob, RayJob

    kind: str = document.value["kind"]
    at: Path = CLUSTER_AT[kind]
    model: type[RayJob | RayCronJob] = RayJob if kind == "RayJob" else RayCronJob
    value = with_whole_numbers(model, without_nulls(document.value))
    if flags.name and isinstance(value.get("metadata"), dict):
        metadata = {key: one for key, one in value["metadata"].items() if key != "generateName"}
        value = {**value, "metadata": {**metadata, "name": flags.name}}

    def placed(findings: Iterable[SpecFinding]) -> list[Problem]:
        return [Problem(filename, *document.at(f.path), dotted(f.path), f.what, f.instead) for f in findings]

    job: RayJob | RayCronJob | None = None
    problems: list[Problem] = []
    try:
        job = read_as(model, value)
    except ShapeError as error:
        own = [fault for fault in error.faults if fault.path[: len(at)] != at]
        submitter = (*at[:-1], "submitterPodTemplate")
        template = value_at(without_faults(value, own), submitter)
        problems = placed([*own, *(fault for fault in error.faults if fault.path == at)])
        if isinstance(template, dict):
            problems += placed(jobrules.template_findings(template, submitter)[0])
        if not (isinstance(value_at(value, at), dict) and isinstance(value.get("metadata"), dict)):
            return None, problems, []
    told_of: Iterable[SpecFinding] = ()
    noted: Iterable[SpecFinding] = ()
    if isinstance(job, RayJob):
        told_of, noted = jobrules.job_problems(job), jobrules.job_notes(job.spec, ("spec",))
    elif job is not None:
        told_of, noted = cronrules.cron_problems(job), cronrules.cron_notes(job)
    problems += placed(told_of)
    of_job = [SpecNote(**asdict(one)) for one in placed(noted)]
    if isinstance(job, RayJob) and job.selected:
        if flags != Flags(name=flags.name, namespace=flags.namespace):
            what = "flags change a cluster, and this job makes none"
            problems.append(Problem("flags", 0, 0, "", what, "leave them out"))
        return job.without_cluster(), problems, of_job
    if not isinstance(value_at(value, at), dict):
        return None, problems, []
    cluster, found, notes = _ClusterReading(_cluster_in(document, value, at), filename, flags).cluster()
    told = {problem.path for problem in problems}
    problems += [_inside(one, at) for one in found if one.path not in told or one.path.startswith("spec")]
    if job is None or cluster is None:
        return None, problems, []
    notes = [_inside(note, at) for note in notes]
    notes += of_job
    return job.with_cluster(cluster), problems, notes


def _cluster_in(document: Document, value: Json, at: Path) -> Document:
    """The RayCluster that stands at `at` as a document of its own, with the places of the file."""
    positions = {path: place for path, place in document.positions.items() if path[:1] == ("metadata",)}
    for path, place in document.positions.items():
        if path[: len(at)] == at:
            positions["spec", *path[len(at) :]] = place
    return Document(cluster_json(value), positions)


def _inside(problem: P, at: Path) -> P:
    """A problem of the cluster that stands at `at`, named by its path in the file."""
    path = problem.path
    inside = ".".join(map(str, at)) + path.removeprefix("spec")
    return replace(problem, path=inside if path.startswith("spec") else path)


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
                same = self.ours[0].value.get("kind") == kind
                what = f"a second {kind}" if same else f"a {kind} next to another of Ray's documents"
                self._problem(item, ("kind",), what, "one file, one cluster")
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
    kind = str(value.get("kind")) if isinstance(value, dict) and "items" in value else ""
    items = (value["items"] or []) if kind else None  # null is none
    if not (kind.endswith("List") and isinstance(items, list)):
        yield document
        return
    positions: dict[int, dict[Path, tuple[int, int]]] = {}
    for path, at in document.positions.items():
        if len(path) > 1 and path[0] == "items" and isinstance(path[1], int):
            positions.setdefault(path[1], {})[path[2:]] = at
    for i, item in enumerate(items):
        if kind != "List" and isinstance(item, dict):  # a typed list may leave out what all its items share
            item = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List"), **item}
        yield from unpacked(Document(item, positions.get(i, {})))


def _template_line(text: str) -> int | None:
    return next((i for i, line in enumerate(text.splitlines(), 1) if is_template(line)), None)


def _nothing_of_ours(foreign: list[Json], text: str) -> Recognised:
    if not foreign:
        return Recognised("there is no RayCluster in this file", "kind: RayCluster")
    return plain_objects([str(value["kind"]) for value in foreign], text)


class _ClusterReading:
    """One RayCluster document on its way to a cluster."""

    def __init__(self, document: Document, filename: str, flags: Flags) -> None:
        self.document = document
        self.filename = filename
        self.flags = flags
        self.given: Json = with_whole_numbers(RayCluster, without_nulls(document.value))

    def cluster(self) -> tuple[RayCluster | None, list[Problem], list[SpecNote]]:
        """The cluster (for its rules alone where there are problems), its problems, its notes."""
        faults = self._faults(self.given)
        value = without_faults(self.given, faults)
        wanted = self.flags.namespace
        problems = []
        if wanted and value_at(value, ("metadata", "namespace")) not in (None, wanted):
            what = f'the file\'s namespace is not the chosen one, "{wanted}"'
            problems.append(
                self._problem(SpecFinding(("metadata", "namespace"), what, "remove it or choose it with -n"))
            )
        if left := self._faults(value):  # an entry of a list, or a field that has to be there
            value = without_what_holds(value, left)
        if self._faults(value):  # too little is left of it to lay flags over
            return None, problems + self._problems(faults, {}), []
        value, of_flags = laid_over(self.flags, value)
        problems += of_flags
        problems += self._problems(faults, value)
        try:
            cluster = read_as(RayCluster, value)
        except ShapeError as error:
            return None, problems + self._problems(error.faults, {}), []
        open_faults = [fault.path for fault in faults if value_at(value, fault.path) is None]
        for finding in rules.problems(cluster):
            if not any(path[: len(finding.path)] == finding.path for path in open_faults):  # told already
                problems.append(self._problem(finding, value))
        return cluster, problems, [self._note(finding) for finding in rules.notes(cluster)]

    def _faults(self, value: Json) -> list[SpecFinding]:
        try:
            read_as(RayCluster, value)
        except ShapeError as error:
            return list(error.faults)
        return []

    def _problems(self, faults: Iterable[SpecFinding], healed: Json) -> list[Problem]:
        """The faults but for those that flags have put right."""
        return [self._problem(fault) for fault in faults if value_at(healed, fault.path) is None]

    def _problem(self, finding: SpecFinding, changed: Json | None = None) -> Problem:
        """With its place in the file, unless a flag has changed what stands there."""
        path, what, instead, other = finding
        if other:
            what += f" (see line {self.document.at(other)[0]})"
        now, then = value_at(changed, path), value_at(self.given, path)
        if changed is not None and now != then and not isinstance(then, dict | list):
            return Problem("flags", 0, 0, dotted(path), what, instead)
        return Problem(self.filename, *self.document.at(path), dotted(path), what, instead)

    def _note(self, finding: SpecFinding) -> SpecNote:
        path, what, instead, _ = finding
        return SpecNote(self.filename, *self.document.at(path), dotted(path), what, instead)
