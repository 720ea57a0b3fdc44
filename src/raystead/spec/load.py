"""A file's text to the one RayCluster in it, with all problems at once."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from raystead.spec import rules
from raystead.spec.model import Json, RayCluster
from raystead.spec.problems import Note, Problem, problems_error
from raystead.spec.yamlio import Document, Path, dotted, read

_DUE = {
    "string_type": "a text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_LATER = ("RayJob", "RayService", "RayCronJob")


@dataclass(frozen=True)
class SpecFile:
    """The cluster of a file, the documents that are not ours, and notes."""

    cluster: RayCluster
    foreign: tuple[Json, ...] = ()
    notes: tuple[Note, ...] = ()


def load(text: str, filename: str, *, name: str | None = None, namespace: str | None = None) -> SpecFile:
    """The file as a cluster; `name` and `namespace` are what the user chose beside it.

    Raises:
        SpecError: with every problem of the file, each with its position.
    """
    documents, problems = read(text, filename)
    items = [item for document in documents for item in _unpacked(document)]
    ours: list[Document] = []
    foreign: list[Json] = []
    for item in items:
        kind = item.value.get("kind") if isinstance(item.value, dict) else None
        api = str(item.value.get("apiVersion", "")) if isinstance(item.value, dict) else ""
        if not kind or not api:
            problems.append(_problem(item, filename, (), "this document has no apiVersion and kind"))
        elif api.startswith("ray.io/") and kind in _LATER:
            what = f"{kind} is not supported by this version"
            problems.append(
                _problem(item, filename, ("kind",), what, "give the RayCluster in a file of its own")
            )
        elif api.startswith("ray.io/") and kind == "RayCluster":
            ours.append(item)
        else:
            foreign.append(item.value)
    if not ours and not problems:
        problems.append(
            Problem(filename, 1, 1, "", "there is no RayCluster in this file", "kind: RayCluster")
        )
    for extra in ours[1:]:
        problems.append(_problem(extra, filename, ("kind",), "a second RayCluster", "one file, one cluster"))
    cluster: RayCluster | None = None
    notes: list[Note] = []
    if ours:
        cluster, found, notes = _cluster(ours[0], filename, name, namespace)
        problems.extend(found)
    if problems or cluster is None:
        raise problems_error(problems)
    return SpecFile(cluster, tuple(foreign), tuple(notes))


def _unpacked(document: Document) -> list[Document]:
    value = document.value
    if not (isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list)):
        return [document]
    out = []
    for i, item in enumerate(value["items"]):
        prefix = ("items", i)
        positions = {p[2:]: at for p, at in document.positions.items() if p[:2] == prefix}
        out.append(Document(item, positions))
    return out


def _problem(document: Document, filename: str, path: Path, what: str, instead: str = "") -> Problem:
    return Problem(filename, *document.at(path), dotted(path), what, instead)


def _cluster(
    document: Document, filename: str, name: str | None, namespace: str | None
) -> tuple[RayCluster | None, list[Problem], list[Note]]:
    value = document.value
    metadata = value.get("metadata")
    problems: list[Problem] = []
    if name and isinstance(metadata, dict):
        value = {**value, "metadata": {**metadata, "name": name}}
        value["metadata"].pop("generateName", None)
    try:
        cluster = RayCluster.model_validate(value)
    except ValidationError as error:
        problems.extend(_explained(error, document, filename))
        rest = _without_faults(value, error)
        if rest is None:
            return None, problems, []
        cluster = rest  # only so that its rules are told in the same breath; it is never returned to anyone
    if namespace and cluster.metadata.namespace not in (None, namespace):
        what = f'the file\'s namespace is not the chosen one, "{namespace}"'
        problems.append(
            _problem(document, filename, ("metadata", "namespace"), what, "remove it or choose it with -n")
        )
    for path, what, instead in rules.problems(cluster):
        problems.append(_problem(document, filename, path, what, instead))
    notes = [
        Note(filename, *document.at(path), dotted(path), what, instead)
        for path, what, instead in rules.notes(cluster)
    ]
    return cluster, problems, notes


def _without_faults(value: Json, error: ValidationError) -> RayCluster | None:
    """The document without the fields that are wrong by themselves, where that much can still be read."""
    value = copy.deepcopy(value)
    for item in error.errors():
        *parents, last = item["loc"]
        part: Any = value
        for key in parents:
            part = part[key] if isinstance(part, list | dict) else None  # type: ignore[index]
        if isinstance(part, dict):
            part.pop(last, None)
    try:
        return RayCluster.model_validate(value)
    except ValidationError:
        return None


def _explained(error: ValidationError, document: Document, filename: str) -> Iterable[Problem]:
    for item in error.errors():
        path: Path = tuple(item["loc"])
        what, instead = _words(item, path)
        yield _problem(document, filename, path, what, instead)


def _words(item: Any, path: Path) -> tuple[str, str]:
    kind = item["type"]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(path[-1]), sorted(rules.FIELDS), n=1)
        hint = f"did you mean {close[0]}?" if close else "remove it, or report it if KubeRay has it"
        return "there is no such field here", hint
    if kind == "missing":
        return "this field is missing", "add it"
    if kind in _DUE:
        quotes = kind == "string_type" and isinstance(item["input"], bool | int | float)
        return f"{_DUE[kind]} is due here, not {_kind(item['input'])}", "write it in quotes" if quotes else ""
    if kind == "literal_error":
        return f'"{item["input"]}" is not one of {item["ctx"]["expected"]}', ""
    if kind == "value_error":
        return str(item["ctx"]["error"]), ""
    return f"{item['msg'][:1].lower()}{item['msg'][1:]}, not {_kind(item['input'])}", ""


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return {"dict": "a mapping", "list": "a list", "str": "a text"}.get(
        type(value).__name__, type(value).__name__
    )
