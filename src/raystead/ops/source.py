"""The file of a spec: where a field that the API server names stands in it. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from raystead.base.groups import HEAD, GroupId
from raystead.base.kinds import KINDS
from raystead.spec.documents import ACCEPTED, CLUSTER_AT
from raystead.spec.load import unpacked
from raystead.spec.model import Json
from raystead.spec.yamlio import Document, Path, dotted, read

__all__ = ["SpecSource"]

_MORE = r"(?:\.[A-Za-z]\w*|\[[^\]\s]*\])"
# spec.template.spec.containers[1].env[0].name, and as server-side apply writes it:
# .spec.template.spec.containers[name="side"].image, .data.x
_FIELD = re.compile(
    rf'(?<![\w."/])\.?((?:spec|metadata){_MORE}+)|(?:(?<=\s)|^)(\.[A-Za-z]\w*{_MORE}*(?=:))', re.MULTILINE
)
# how server-side apply begins, and how it writes a value
_TYPED = re.compile(r"^failed to create typed patch object \([^)]*\): (?:errors:\s*)?")
_RAW = re.compile(r"&value\.valueUnstructured\{Value:(.*?)\}")
_STEP = re.compile(r"\.?([A-Za-z]\w*)|\[([^\]]*)\]")
_INVALID = re.compile(r'^\S+ "[^"]*" is invalid: (\[.*\]|.*)$', re.DOTALL)
_NEXT = re.compile(r", (?=(?:spec|metadata)[.\[])")
_LABEL = re.compile(r'(\w+)=(?:"([^"]*)"|([^,]*))')
# what tells the items of a list apart, the most telling first
_KEYS = ("mountPath", "devicePath", "name", "containerPort", "port", "topologyKey", "key", "ip")

Step = str | int | dict[str, str]  # a field, an index, or keys of an item


@dataclass(frozen=True)
class SpecSource:
    """The text of a file, and its name."""

    text: str = field(repr=False)
    filename: str

    def located(self, message: str, item: Json) -> str:
        """What the server says of a rendered object, each field with its place where the file has it."""
        found = self._document_of(item)
        if found is not None:
            return self._located(message, item, found, [((), ())])
        return self._located(message, item, self._ours, list(self._origins(item)))

    def located_in_pod(self, message: str, group: GroupId, pod: Json) -> str:
        """The same of one pod of a group."""
        place = self._template(group)
        return self._located(message, pod, self._ours, [((), place)] if place else [])

    def _located(
        self, message: str, rendered: Json, document: Document | None, origins: Sequence[tuple[Path, Path]]
    ) -> str:
        def placed(match: re.Match[str]) -> str:
            steps = _steps(match[1] or match[2])
            for prefix, base in origins:
                if document is None or tuple(steps[: len(prefix)]) != prefix:
                    continue
                here, there = _at(rendered, prefix), _at(document.value, base)
                path = _followed(here, there, steps[len(prefix) :]) if there is not None else None
                if path:
                    line, column = document.at((*base, *path))
                    return f"{self.filename}:{line}:{column}: {dotted((*base, *path))}"
            return match[0]

        if typed := _TYPED.match(message):
            told = [
                _FIELD.sub(placed, _RAW.sub(r"\1", line.strip()))
                for line in message[typed.end() :].splitlines()
            ]
            return "; ".join(sorted(told, key=self._line))
        if not (parts := _INVALID.match(message)):
            return _FIELD.sub(placed, message)
        told = [_FIELD.sub(placed, cause, count=1) for cause in _NEXT.split(_inside(parts[1]))]
        return "; ".join(sorted(told, key=self._line))

    def _line(self, told: str) -> int:
        """For the order of the file; what has no line comes last."""
        place = told.removeprefix(f"{self.filename}:").partition(":")[0]
        return int(place) if place != told and place.isdecimal() else sys.maxsize

    @cached_property
    def _documents(self) -> list[Document]:
        return [document for whole in read(self.text, self.filename)[0] for document in unpacked(whole)]

    @cached_property
    def _ours(self) -> Document | None:
        return next((document for document in self._documents if _is_ours(document)), None)

    def _document_of(self, item: Json) -> Document | None:
        """The file's own document that the object is."""
        wanted = (item.get("apiVersion"), item["kind"], item["metadata"]["name"])
        for document in self._documents:
            value = document.value if isinstance(document.value, dict) else {}
            name = _at(value, ("metadata", "name"))
            if not _is_ours(document) and (value.get("apiVersion"), value.get("kind"), name) == wanted:
                return document
        return None

    def _origins(self, item: Json) -> Iterator[tuple[Path, Path]]:
        """Which part of the file a part of an object of ours comes from."""
        from raystead.live.makers import makers_of

        row = KINDS.get(item["kind"])
        for maker in makers_of(item):
            if row and row.template and (place := self._template(maker.id)):
                yield row.template, place
        if item["kind"] == "Job":
            yield ("spec", "template"), ("spec", "submitterPodTemplate")
        if item["kind"] == "Service":
            yield (), (*self._cluster_at, "headGroupSpec", "headService")

    @property
    def _cluster_at(self) -> Path:
        kind = self._ours.value.get("kind") if self._ours else ""
        return CLUSTER_AT.get(kind, ("spec",))

    def _template(self, group: GroupId) -> Path | None:
        """Where the file has the pod template of a group."""
        if self._ours is None:
            return None
        if group == HEAD:
            return (*self._cluster_at, "headGroupSpec", "template")
        at = (*self._cluster_at, "workerGroupSpecs")
        for i, entry in enumerate(_at(self._ours.value, at) or ()):
            if group.is_worker and isinstance(entry, dict) and entry.get("groupName") == group.name:
                return (*at, i, "template")
        return None


def _inside(listed: str) -> str:
    return listed[1:-1] if listed.startswith("[") and listed.endswith("]") else listed


def _is_ours(document: Document) -> bool:
    value = document.value if isinstance(document.value, dict) else {}
    return value.get("kind") in ACCEPTED and str(value.get("apiVersion", "")).startswith("ray.io/")


def _steps(text: str) -> list[Step]:
    out: list[Step] = []
    for name, inside in _STEP.findall(text):
        if name:
            out.append(name)
        elif inside.isdecimal():
            out.append(int(inside))
        elif keys := {m[1]: m[2] or m[3] for m in _LABEL.finditer(inside)}:
            out.append(keys)
        else:
            out.append(inside)
    return out


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _followed(rendered: Any, written: Any, steps: Sequence[Step]) -> Path | None:
    """The way in the file to what `steps` lead to in the object; None where we have put it there."""
    path: list[str | int] = []
    for i, step in enumerate(steps):
        if isinstance(step, str):
            inside = rendered.get(step) if isinstance(rendered, dict) else None
            if not isinstance(written, dict) or step not in written:  # a required field is in neither
                rest = [part for part in steps[i:] if not isinstance(part, dict)]
                return (*path, *rest) if inside is None else None
            path.append(step)
            rendered, written = inside, written[step]
            continue
        item = _item(rendered, step)
        index = _twin(item, written, step) if isinstance(written, list) else None
        if index is None:
            return None
        path.append(index)
        rendered, written = item, written[index]
    plain = not isinstance(rendered, dict | list) and not isinstance(written, dict | list)
    return None if plain and rendered != written else tuple(path)


def _item(rendered: Any, step: int | dict[str, str]) -> Any:
    if not isinstance(rendered, list):
        return None
    if isinstance(step, int):
        return rendered[step] if step < len(rendered) else None
    alike = (entry for entry in rendered if isinstance(entry, dict) and _has(entry, step))
    return next(alike, None)


def _has(item: Json, keys: dict[str, str]) -> bool:
    return all(str(item.get(key)) == value for key, value in keys.items() if key in item)


def _twin(item: Any, written: list[Any], step: int | dict[str, str]) -> int | None:
    """The index of the same item in the file."""
    if item in written:
        return written.index(item)
    if not isinstance(item, dict):
        return None
    for key in _KEYS:
        if key in item:
            alike = [
                i
                for i, entry in enumerate(written)
                if isinstance(entry, dict) and entry.get(key) == item[key]
            ]
            return step if step in alike and isinstance(step, int) else next(iter(alike), None)
    return step if isinstance(step, int) and step < len(written) else None
