"""A runtime environment as Ray's server takes it: what names a file of this machine is read here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystead.errors import UsageError


def local_path(value: Any) -> Path | None:
    """A working_dir or module that is a directory or file of ours and not an address."""
    if isinstance(value, Path):
        return value.expanduser().absolute()
    return Path(value).expanduser().absolute() if isinstance(value, str) and "://" not in value else None


def excludes_of(runtime_env: dict[str, Any]) -> tuple[str, ...]:
    """The patterns of `excludes`; a single one may stand there without brackets.

    Raises:
        UsageError: it is neither text nor a list of texts.
    """
    value = runtime_env.get("excludes") or ()
    patterns = (value,) if isinstance(value, str) else value
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) for p in patterns):
        raise UsageError(
            "excludes of the runtime environment: expected a list of patterns",
            evidence=f"it is {value!r:.80}",
            remedy='write for example: excludes: ["*.bin", "/data"]',
        )
    return tuple(patterns)


def modules_of(runtime_env: dict[str, Any]) -> list[Any]:
    """The entries of `py_modules`.

    Raises:
        UsageError: it is not a list.
    """
    value = runtime_env.get("py_modules") or []
    if not isinstance(value, list):
        raise UsageError(
            "py_modules of the runtime environment: expected a list of directories, files or addresses",
            evidence=f"it is {value!r:.80}",
            remedy="write for example: py_modules: [./my_package]",
        )
    return value


def files_read(runtime_env: dict[str, Any]) -> dict[str, Any]:
    """The entries that name a file, with what is in it: pip and uv requirements, conda's environment.

    Raises:
        UsageError: the file cannot be read.
    """
    read: dict[str, Any] = {}
    for key in ("pip", "uv"):
        if isinstance(value := runtime_env.get(key), str):
            lines = (line.partition(" #")[0].strip() for line in _text(key, value).splitlines())
            read[key] = [line for line in lines if line and not line.startswith("#")]
    conda = runtime_env.get("conda")
    if isinstance(conda, str) and conda.endswith((".yml", ".yaml")):
        import yaml

        try:
            read["conda"] = yaml.safe_load(_text("conda", conda))
        except yaml.YAMLError as error:
            raise UsageError(f"the runtime environment's conda file {conda} is not YAML: {error}") from None
    return read


def _text(key: str, file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the runtime environment's {key} names the file {file}, which cannot be read",
            evidence=str(error),
            remedy=f"give an existing file, or the {key} entries themselves",
        ) from None
