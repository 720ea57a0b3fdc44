"""What a job's command names of this machine, and what that means for the directory that is sent.

One rule for local clusters and namespaces: when a word of the command is a file below the current directory
and no working directory was given, the current directory goes along. `python -m package` names a file too,
and so does a folder that is written as a path: `pytest tests/`.
"""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from raystead.errors import UsageError

__all__ = ["check_program", "named_files", "not_here"]

_SHELLS = {"sh", "bash", "dash", "zsh", "ksh"}
_INTERPRETERS = {".py": "python", ".sh": "bash", ".R": "Rscript", ".jl": "julia", ".pl": "perl"}


def named_files(words: Sequence[str], directory: Path) -> list[str]:
    """Words of the command that are files below `directory`; absolute paths mean the cluster's own files.

    Raises:
        UsageError: a word is a file here that lies outside of the directory, and would not go along.
    """
    found = []
    spread = _spread(words)
    for place, word in enumerate(spread):
        for candidate in _candidates(word, after=spread[place - 1] if place else ""):
            path = PurePosixPath(candidate)
            if path.is_absolute() or not _is_here(candidate, directory / path):
                continue
            below = os.path.normpath(candidate)
            if below.startswith(".."):
                raise UsageError(
                    f"{candidate} lies outside of {directory}, and only what is in it would be sent",
                    remedy=f"go to a directory that holds it, or give one: --working-dir {_above(below)}",
                )
            found.append(below)
            break
    return found


def not_here(words: Sequence[str], directory: Path) -> tuple[str, str]:
    """The program of a `python …` that is no file here, and the one here that may be meant; "" for none."""
    spread = _spread(words)
    if not spread or not PurePosixPath(spread[0]).name.startswith("python"):
        return "", ""
    word = next((word for word in spread[1:] if not word.startswith("-") or word in ("-c", "-m")), "")
    if not word.endswith(".py") or PurePosixPath(word).is_absolute() or _is_file(directory / word):
        return "", ""
    there = sorted(path.name for path in directory.glob("*.py"))
    return word, next(iter(difflib.get_close_matches(word, there, n=1)), "")


def check_program(words: Sequence[str], directory: Path) -> tuple[str, ...] | None:
    """The command as it was meant when its first word is a file that a shell would not run; else None."""
    spread = list(_spread(words[:1]))
    if not spread:
        return None
    program, rest = spread[0], [*spread[1:], *words[1:]]
    path = directory / program
    if PurePosixPath(program).is_absolute() or not _is_file(path):
        return None
    if "/" in program and os.access(path, os.X_OK):
        return None
    ending = path.suffix
    if "/" not in program and ending not in _INTERPRETERS and shutil.which(program):
        return None  # a program of that name is meant, and a file next to us has the same
    if ending in _INTERPRETERS:
        return (_INTERPRETERS[ending], program, *rest)
    if os.access(path, os.X_OK):
        return (f"./{program}", *rest)
    return ("bash", program, *rest)


def _spread(words: Sequence[str]) -> list[str]:
    """The words, those of a line for a shell apart: a command given as one text, or after `bash -c`."""
    words = list(words)
    shell = bool(words) and PurePosixPath(words[0]).name in _SHELLS
    spread: list[str] = []
    for place, word in enumerate(words):
        after = words[place - 1] if place else ""
        line = len(words) == 1 or (shell and after.startswith("-") and after.endswith("c"))
        spread += _split(word) if line else [word]
    return spread


def _split(line: str) -> list[str]:
    try:
        return [word.strip(";&|()") for word in shlex.split(line)]
    except ValueError:  # a quote that a shell would complain of as well
        return []


def _candidates(word: str, after: str) -> list[str]:
    """Paths that a word may mean."""
    if not word or "\0" in word or len(word) > 4096:
        return []
    if after == "-m" and all(part.isidentifier() for part in word.split(".")):
        module = word.replace(".", "/")
        return [f"{module}.py", f"{module}/__main__.py", f"{module}/__init__.py"]
    value = word.partition("=")[2] if word.startswith("-") else ""
    return [value] if value else [word]


def _is_here(word: str, path: Path) -> bool:
    """A file; or a folder whose name is written as a path: `tests/`, and not the word `train`."""
    try:
        return path.is_file() or ("/" in word and path.is_dir())
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _above(path: str) -> str:
    """`..`, `../..`: the directory that holds both the file and this one."""
    ups = [part for part in PurePosixPath(path).parts if part == ".."]
    return "/".join(ups)
