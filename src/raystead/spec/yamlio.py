"""YAML as kubectl reads it, with a position for every path; and YAML that git likes.

Scalars: YAML 1.1 booleans and octal integers, no dates, no sexagesimals. Duplicate keys are problems.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from msgspec import Struct, field

from raystead.spec.problems import Problem

Path = tuple[str | int, ...]
_LoaderBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DumperBase: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_MAX_REPEATED = 200_000  # nodes that aliases repeat: an alias bomb expands without end
_MAX_DEPTH = (
    100  # the deepest field of a pod template is at 16; libyaml's composer ends the process at 50,000
)
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool")  # !!int "1"
_ODD_COLON = re.compile("^[ -]*[\\w.-]+:([\u00a0\u2002-\u200b\u202f\u3000])")
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff]")  # what no editor shows
_FREE = {"env", "command", "args", "labels", "annotations"}  # any text may stand there, or is looked at later
_CURLY = re.compile(
    "[\u201c\u201d\u2018\u2019\u201e].*[\u201c\u201d\u2018\u2019]"
)  # of word processors and web pages
_NAMES = (("metadata", "name"), ("metadata", "namespace"))
_ESCAPE = re.compile(r"hexdecimal number|unknown escape|escape code", re.IGNORECASE)
_MAX_DIGITS = 400  # a float ends at 309

_BOOL = {
    **dict.fromkeys(("true", "yes", "on", "y"), True),
    **dict.fromkeys(("false", "no", "off", "n"), False),
}
_INT = re.compile(r"^[-+]?(0b_*[01][01_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|0o?_*[0-7][0-7_]*|[1-9][0-9_]*|0)$")
_FLOAT = re.compile(
    r"^[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+)$", re.ASCII
)


class Document(Struct):
    """One YAML document: its value, and the position (line, column from 1) of every path in it."""

    value: Any
    positions: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def at(self, path: Path) -> tuple[int, int]:
        """The position of `path`, or of its nearest ancestor."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, (1, 1))


def read(text: str, filename: str) -> tuple[list[Document], list[Problem]]:
    """All documents of a text that are not empty, and what is wrong with its YAML."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for part in _objects(text) or (text,):
        _read(part, filename, documents, problems)
    return documents, problems


def _objects(text: str) -> list[str]:
    """Several JSON objects one after the other, as `jq '.items[]'` prints them, each on its own lines."""
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return []
    found, at = [], 0
    while start := re.compile(r"\S").search(text, at):
        try:
            _, end = json.JSONDecoder().raw_decode(text, start.start())
        except (ValueError, RecursionError):
            return []  # YAML after all, or broken: told by its reader
        lines = text[: start.start()].splitlines(keepends=True)
        column = " " * len(lines.pop()) if lines and not lines[-1].endswith(("\n", "\r")) else ""
        found.append("\n" * len(lines) + column + text[start.start() : end])
        at = end
    return found if len(found) > 1 else []


def _read(text: str, filename: str, documents: list[Document], problems: list[Problem]) -> None:
    try:
        _refuse_depth(text)
        loader = _LoaderBase(text)
        try:
            while loader.check_node():
                builder = _Builder(filename, problems)
                document = Document(None, builder.positions)
                document.value = builder.build(loader.get_node(), ())
                if document.value is not None:
                    documents.append(document)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = f"this is not YAML: {error.problem or error.context}"
        if blank := _odd_blank(text, line):
            line, column, what, instead = blank
        else:
            instead = error.note or "check indentation, quotes and tabs near here"
            if _ESCAPE.search(str(error.context or "") + str(error.problem or "")):
                instead = "a backslash between double quotes begins an escape: write single quotes"
        problems.append(Problem(filename, line, column, "", what, instead))
    except (yaml.YAMLError, UnicodeError) as error:  # a character that YAML does not allow
        line, column = _forbidden(text)
        what = f"this is not YAML: {str(error).splitlines()[0]}"
        problems.append(Problem(filename, line, column, "", what))


def _forbidden(text: str) -> tuple[int, int]:
    """Where the first character stands that no YAML may hold."""
    found = re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]", text)
    before = text[: found.start()] if found else ""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _odd_blank(text: str, line: int) -> tuple[int, int, str, str] | None:
    """The last line up to the error that is indented with a blank that is none to YAML, as pages have."""
    for number, one in reversed(list(enumerate(text.split("\n")[:line], 1))):
        indentation = one[: len(one) - len(one.lstrip())]
        for column, letter in enumerate(indentation, 1):
            if letter not in " \t\r\ufeff":
                what = (
                    f"this is not YAML: the line is indented with U+{ord(letter):04X}, which is not a space"
                )
                return number, column, what, "indent with ordinary spaces"
        if found := _ODD_COLON.search(one):
            what = f"this is not YAML: after the colon stands U+{ord(found[1]):04X}, which is not a space"
            return number, found.start(1) + 1, what, "write an ordinary space"
    return None


def _refuse_depth(text: str) -> None:
    """Composing is recursive, in C without a limit; reading events is not."""
    depth = 0
    for event in yaml.parse(text, Loader=_LoaderBase):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _too_deep(event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _too_deep(mark: Any) -> yaml.MarkedYAMLError:
    what = f"lists and mappings are nested more than {_MAX_DEPTH} deep"
    return yaml.MarkedYAMLError(
        problem=what, problem_mark=mark, note="a RayCluster is never nested that deep"
    )


class _Builder:
    def __init__(self, filename: str, problems: list[Problem]) -> None:
        self.filename = filename
        self.problems = problems
        self.positions: dict[Path, tuple[int, int]] = {}
        self.open: set[int] = set()
        self.built: set[int] = set()
        self.repeated = 0

    def build(self, node: Any, path: Path) -> Any:
        self.repeated += id(node) in self.built
        self.built.add(id(node))
        if self.repeated > _MAX_REPEATED or id(node) in self.open:
            raise yaml.MarkedYAMLError(
                problem="aliases expand without end", problem_mark=node.start_mark, note="write it out"
            )
        if len(self.open) > _MAX_DEPTH:
            raise _too_deep(node.start_mark)
        self.positions.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self.open.discard(id(node))

    def _scalar(self, node: Any, path: Path) -> Any:
        plain = node.style not in ("'", '"', "|", ">")
        if plain and len(node.value) > _MAX_DIGITS and _INT.match(node.value):
            what = f"this number has {len(node.value)} characters"
        elif (value := scalar(node)) in (float("inf"), float("-inf")):
            what = f"the number {node.value[:20]} is too large"
        elif plain and (unseen := _UNSEEN.search(node.value)) and path in _NAMES:
            self._problem(node.start_mark, path, *_hidden(unseen[0]))
            return _UNSEEN.sub("", node.value)
        elif plain and path[:1] == ("spec",) and not _FREE & set(path) and _CURLY.fullmatch(node.value):
            self._problem(
                node.start_mark,
                path,
                "these are typographic quotes, which YAML takes for text",
                f'write "{node.value[1:-1]}"',
            )
            return node.value[1:-1]
        else:
            return value
        self._problem(node.start_mark, path, what, "write it in quotes if it is a string")
        return None

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            mark = key_node.start_mark
            if key is not None and (unseen := _UNSEEN.search(key)):
                key = _UNSEEN.sub("", key)
                self._problem(mark, (*path, key), *_hidden(unseen[0]))
            if key is None:
                self._problem(mark, path, "a key must be a string")
            elif key_node.tag == "tag:yaml.org,2002:merge":
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in sources:
                    built = self.build(source, path)
                    if isinstance(built, dict):
                        merged = {**built, **merged}
            elif key in out:
                first = self.positions[(*path, key)][0]
                self._problem(
                    mark, (*path, key), f"this key appears twice, first on line {first}", "keep one"
                )
            else:
                self.positions[(*path, key)] = (mark.line + 1, mark.column + 1)
                out[key] = self.build(value_node, (*path, key))
        return {**merged, **out}

    def _problem(self, mark: Any, path: Path, what: str, instead: str = "") -> None:
        self.problems.append(
            Problem(self.filename, mark.line + 1, mark.column + 1, dotted(path), what, instead)
        )


def _hidden(letter: str) -> tuple[str, str]:
    return f"there is a U+{ord(letter):04X} in it, which cannot be seen", "type it again"


def scalar(node: Any) -> Any:
    """The value of a scalar as kubectl resolves it."""
    text: str = node.value
    if node.style in ("'", '"', "|", ">") and node.tag not in _NUMBERS:
        return text
    if node.tag == "tag:yaml.org,2002:str" and not (_FLOAT.match(text) or text.lower().startswith("0o")):
        return text  # PyYAML takes 1e3 and 0o644 for text, kubectl for numbers
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in (text.lower(), text.title(), text.upper()) and text.lower() in _BOOL:
        return _BOOL[text.lower()]
    if _INT.match(text):
        digits = text.replace("_", "").lower()
        sign = -1 if digits.startswith("-") else 1
        digits = digits.lstrip("+-")
        if digits.startswith(("0x", "0b", "0o")):
            return sign * int(digits, 0)
        return sign * int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10)
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    return text


def dotted(path: Path) -> str:
    """("spec", "workerGroupSpecs", 0) -> spec.workerGroupSpecs[0]"""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else str(part))
    return out


class _Dumper(_DumperBase):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_str(dumper: Any, text: str) -> Any:
    # Quoted whatever any YAML reader could take for something else than text.
    if "\n" in text and not any(line.endswith(" ") for line in text.split("\n")) and "\t" not in text:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    risky = (
        text.lower() in _BOOL
        or text.lower() in ("", "~", "null")
        or re.match(r"^[-+.]?\d", text)
        or text.lower().lstrip("+-") in (".inf", ".nan")
    )
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if risky else None)


_Dumper.add_representer(str, _represent_str)


def dump(documents: list[dict[str, Any]]) -> str:
    """The documents in the given order, block style, keys as they stand, no aliases."""
    return "".join(
        "---\n"
        + yaml.dump(
            d, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=110, allow_unicode=True
        )
        for d in documents
    )
