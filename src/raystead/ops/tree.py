"""What of a directory goes along to the cluster: ignore files, excludes, links, and what cannot be read.

Links are followed as Ray's own client does, so a folder that is reached twice is sent twice. Two things
differ: a link to a folder that it lies in is left out, where Ray's client follows it until the kernel gives
up at 40 links; and folders that link to each other so often that there would be thousands of copies are
refused, since n such folders can be walked in n! ways.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

from raystead.errors import UsageError

__all__ = ["ALWAYS_OUT", "IGNORE_FILES", "Entry", "Walk", "printable"]

IGNORE_FILES = (".gitignore", ".rayignore")
ALWAYS_OUT = (
    ".git",
    ".venv",
    "venv",
    "__pycache__",
)  # Ray's own default since 2.54; `--exclude '!venv'` undoes
_COPIES = 10_000  # folders that are there more than once through links; walking them takes a second or two
_Rules = list[tuple[str, pathspec.GitIgnoreSpec]]


@dataclass(frozen=True)
class Entry:
    """A file, or a folder with nothing in it: its path below the directory, with "/"; size in bytes."""

    name: str
    path: Path
    mode: int
    size: int
    folder: bool = False


@dataclass
class Walk:
    """One walk through a directory, each folder's entries sorted by name.

    Attributes:
        ignored: entries left out so far; a folder counts once.
    """

    directory: Path
    excludes: Sequence[str] = ()
    ignored: int = 0
    _trouble: list[str] = field(default_factory=list)
    _visits: Counter[tuple[int, int]] = field(default_factory=Counter)
    _copies: int = 0

    def entries(self) -> Iterator[Entry]:
        """Every entry that goes along.

        Raises:
            UsageError: an exclude is not a pattern; links lead to thousands of copies of the same folders; at
                the end of the walk, entries cannot be read or sent.
        """
        self.ignored = self._copies = 0
        self._trouble.clear()
        self._visits.clear()
        given = _given(self.excludes)
        yield from self._folder(self.directory, "", given, [], frozenset({_identity(self.directory)}))
        if self._trouble:
            raise self._unreadable()

    def _folder(
        self,
        here: Path,
        below: str,
        given: pathspec.GitIgnoreSpec,
        rules: _Rules,
        above: frozenset[tuple[int, int]],
    ) -> Iterator[Entry]:
        try:
            found = sorted(os.scandir(here), key=lambda item: item.name)
            names = {item.name for item in found}
            rules = rules + [
                (below, _rules((here / name).read_text(errors="replace").splitlines()))
                for name in IGNORE_FILES
                if name in names and (here / name).is_file()
            ]
        except OSError as error:
            self._trouble.append(f"{printable(below) or '.'}: {error.strerror}")
            return
        if not found and below:
            yield Entry(below.rstrip("/"), here, _mode(here), 0, folder=True)
        for item in found:
            name = below + item.name
            try:
                status = item.stat()
                folder = stat.S_ISDIR(status.st_mode)
            except OSError:  # a link that leads nowhere: Ray's client leaves it out too
                self.ignored += 1
                continue
            if _ignored(name + ("/" if folder else ""), given, rules):
                self.ignored += 1
            elif not _is_text(item.name):
                self._trouble.append(f"{printable(name)}: the name is not UTF-8, which a zip file needs")
            elif folder:
                identity = (status.st_dev, status.st_ino)
                if identity in above:
                    self.ignored += 1
                    continue
                self._count(identity, name)
                yield from self._folder(here / item.name, f"{name}/", given, rules, above | {identity})
            elif not stat.S_ISREG(status.st_mode):
                self.ignored += 1
            elif not os.access(item.path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
                self._trouble.append(f"{printable(name)}: Permission denied")
            else:
                yield Entry(name, here / item.name, status.st_mode & 0o777, status.st_size)

    def _count(self, folder: tuple[int, int], name: str) -> None:
        """Takes note of a visit to a folder, and refuses to go on where links make no end of them."""
        self._visits[folder] += 1
        self._copies += self._visits[folder] > 1
        if self._copies > _COPIES:
            raise UsageError(
                f"links between folders of {self.directory} would send them more than {_COPIES:,} times over",
                evidence=f"{len(self._visits):,} folders are there; the last one that was reached: "
                f"{printable(name)}",
                remedy="leave out the folder that holds such links: --exclude PATTERN or a .rayignore file",
            )

    def _unreadable(self) -> UsageError:
        number = len(self._trouble)
        listed = [*self._trouble[:10], *([f"and {number - 10} more"] if number > 10 else [])]
        return UsageError(
            f"{number} of the entries in {self.directory} cannot be sent"
            if number > 1
            else f"an entry in {self.directory} cannot be sent",
            evidence="\n         ".join(listed),
            remedy="make them readable, or leave them out: --exclude PATTERN (? stands for any character)",
        )


def printable(name: str) -> str:
    """A file's name for people; bytes that are not UTF-8 become ?, which --exclude can match."""
    return "".join(c if c.isprintable() and not "\ud800" <= c <= "\udfff" else "?" for c in name)


def _given(excludes: Sequence[str]) -> pathspec.GitIgnoreSpec:
    """The excludes of the command line; `./data` is `/data`, as a shell completes it."""
    patterns = [re.sub(r"^(!?)\./", r"\1/", pattern) for pattern in excludes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        wrong = [pattern for pattern in patterns if not _is_pattern(pattern)]
    if wrong:
        raise UsageError(
            f"{', '.join(map(repr, wrong))} is not a pattern of files to exclude",
            remedy="patterns are those of a .gitignore: --exclude '*.log' --exclude /data/",
        )
    return _rules([f"{name}/" for name in ALWAYS_OUT] + patterns)


def _rules(lines: Sequence[str]) -> pathspec.GitIgnoreSpec:
    """What the lines of an ignore file say; those that are no pattern say nothing, as with git."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # [[:alpha:]] is one to the library
        try:
            return pathspec.GitIgnoreSpec.from_lines(lines)
        except ValueError:
            return pathspec.GitIgnoreSpec.from_lines(filter(_is_pattern, lines))


def _is_pattern(line: str) -> bool:
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _ignored(name: str, given: pathspec.GitIgnoreSpec, rules: _Rules) -> bool:
    """The command line decides if it says anything, then the innermost ignore file that does, as with git."""
    verdict = given.check_file(name).include
    if verdict is not None:
        return bool(verdict)
    for below, spec in reversed(rules):
        verdict = spec.check_file(name.removeprefix(below)).include
        if verdict is not None:
            return bool(verdict)
    return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
