"""What callers give: specs in their forms, flags with their types, the API server that is meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from raystead.base import times
from raystead.errors import UsageError

if TYPE_CHECKING:
    from raystead.kube.api import Api
    from raystead.ops.events import Event
    from raystead.spec.documents import RayDocument
    from raystead.spec.flags import Flags

__all__ = ["OnEvent", "Spec", "SpecFlags", "api_of", "flags_of", "must_be", "seconds", "text_of"]

if TYPE_CHECKING:
    Spec = str | Path | Mapping[str, Any] | RayDocument
    OnEvent = Callable[[Event], None]
else:
    Spec = OnEvent = Any


class SpecFlags(TypedDict, total=False):
    """The command line's flags that make or change a spec, with underscores: see `raystead up --help`."""

    workers: int
    worker_cpu: str
    worker_memory: str
    head_cpu: str
    head_memory: str
    gpus: int
    image: str
    ray_version: str
    redis_image: str
    redis_memory: str
    redis_cpu: str
    redis_address: str
    redis_password_secret: str
    pull_secret: Sequence[str]
    env: Sequence[str]
    env_from_secret: Sequence[str]
    mount: Sequence[str]
    service_account: str
    node_selector: Sequence[str]
    toleration: Sequence[str]
    label: Sequence[str]
    storage: str
    whole_node: str
    reserve: str
    allow_from: Sequence[str]
    allow_to: str
    autoscale: bool
    least: int
    most: int
    idle: str
    idle_keeps_data: bool


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TEXT, _WHOLE, _TEXTS = "a string", "a whole number", "a list of strings"
_FORMS = {"str": _TEXT, "int": _WHOLE, "Sequence[str]": _TEXTS, "bool": "true or false"}
_IS: dict[str, Callable[[Any], bool]] = {
    _TEXT: lambda value: isinstance(value, str),
    _WHOLE: _is_whole,
    _TEXTS: lambda value: isinstance(value, list | tuple) and all(isinstance(item, str) for item in value),
    "true or false": lambda value: isinstance(value, bool),
    "a number": _is_number,
    "a number of seconds": _is_number,
    "a mapping of numbers": lambda value: (
        isinstance(value, Mapping) and all(isinstance(k, str) and _is_number(v) for k, v in value.items())
    ),
    "a whole number or two as bounds": lambda value: (
        _is_whole(value) or (isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value)))
    ),
    "a mapping of strings": lambda value: (
        isinstance(value, Mapping) and all(isinstance(x, str) for pair in value.items() for x in pair)
    ),
    "a mapping with strings as keys": lambda value: (
        isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    ),
    "a path": lambda value: isinstance(value, str | os.PathLike),
    "bytes": lambda value: isinstance(value, bytes),
    "a function": callable,
}


def must_be(**given: tuple[str, Any]) -> None:
    """Refuses arguments of a wrong type, all at once; None is taken everywhere.

    Args:
        given: by the argument's name, what it must be (a key of `_IS`) and its value.

    Raises:
        UsageError
    """
    from raystead.spec.problems import given as words

    wrong = [
        f"{name}: expected {form}, got {words(value)}"
        for name, (form, value) in given.items()
        if value is not None and not _IS[form](value)
    ]
    if wrong:
        raise UsageError("; ".join(wrong))


def flags_of(name: str | None, given: Mapping[str, Any]) -> Flags:
    """The flags with the spec's name.

    Raises:
        UsageError: there is no such flag, or one has a wrong type.
    """
    from raystead.spec.flags import Flags

    forms = SpecFlags.__annotations__
    if unknown := [flag for flag in given if flag not in forms]:
        raise UsageError(
            f"there is no flag {', '.join(map(repr, unknown))}",
            evidence=f"flags: {', '.join(forms)}",
            remedy="help(raystead.SpecFlags)",
        )
    words = {flag: _FORMS[forms[flag].__forward_arg__] for flag in given}
    must_be(name=(_TEXT, name), **{flag: (words[flag], value) for flag, value in given.items()})
    typed: dict[str, Any] = {
        flag: tuple(value) if words[flag] == _TEXTS and value is not None else value
        for flag, value in given.items()
        if value is not None
    }
    return Flags(name=name, **typed)


def api_of(namespace: str | None, context: str | None, kubeconfig: str | os.PathLike[str] | None) -> Api:
    """The API server that is meant.

    Raises:
        KubeConfigError, UsageError
    """
    from raystead.kube.access import load
    from raystead.kube.api import Api

    must_be(namespace=(_TEXT, namespace), context=(_TEXT, context), kubeconfig=("a path", kubeconfig))
    file = None if kubeconfig is None else os.fspath(kubeconfig)
    return Api(load(namespace=namespace, context=context, kubeconfig=file))


def text_of(spec: Spec | None) -> tuple[str | None, str]:
    """The spec as YAML text with a name for messages; (None, "") for none.

    Raises:
        UsageError: it is none of the forms of a spec, or a file that cannot be read.
        SpecError: the file is not text.
    """
    from raystead.spec.problems import given
    from raystead.spec.text import decode
    from raystead.spec.yamlio import dump

    if spec is None:
        return None, ""
    if isinstance(spec, str):
        return spec, "spec"
    if isinstance(spec, Path):
        try:
            return decode(spec.read_bytes(), str(spec)), str(spec)
        except OSError as error:
            raise UsageError(f"{spec} cannot be read: {error.strerror}") from None
    if isinstance(spec, Mapping):
        return dump([dict(spec)]), "spec"
    if callable(getattr(spec, "document", None)):
        return dump([spec.document()]), "spec"
    raise UsageError(
        f"spec: expected YAML text, a path, a mapping or a document, got {given(spec)}",
        remedy="pathlib.Path(FILE) for a file",
    )


def seconds(name: str, value: float | str) -> float:
    """A span of time in seconds: a number of them, or "90s", "10m", "2h".

    Raises:
        UsageError: it is neither.
    """
    found = times.in_seconds(value) if isinstance(value, str) else value
    if found is None:
        raise UsageError(f'{name}: "{value}" is not a span of time', remedy="for example 90, 90s, 10m or 2h")
    must_be(**{name: ("a number of seconds", found)})
    return float(found)
