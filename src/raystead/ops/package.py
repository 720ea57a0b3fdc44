"""A working directory as a package of Ray's: what goes in, how large it is, one zip file."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

from raystead.base.quantities import human_bytes
from raystead.errors import UploadTooLarge, UsageError

LIMIT = 100 * 2**20  # bytes; Ray's dashboard refuses larger bodies (ray.md H)
IGNORE_FILES = (".gitignore", ".rayignore")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip that depends on contents only
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Package:
    """A zip ready to be sent: its name by contents, files in it, files left out, its size in bytes."""

    name: str
    path: Path
    files: int
    ignored: int
    bytes: int


def pack(directory: Path, target: Path, excludes: Sequence[str] = (), *, under: str = "") -> Package:
    """Zips `directory` into `target`, without what its ignore files and `excludes` name.

    `under` is a folder of the zip that everything goes into (Ray wants that of a Python module).

    Raises:
        UsageError: it is no directory.
        UploadTooLarge: the zip is over Ray's limit; nothing was sent.
    """
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        raise UsageError(
            f"the directory to send, {directory}, {what}", remedy="give the directory that holds your program"
        )
    taken, ignored = _walk(directory, excludes)
    digest = hashlib.sha1(usedforsecurity=False)
    sizes: list[tuple[int, str]] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in taken:
            name = (Path(under) / path.relative_to(directory)).as_posix()
            mode = path.stat().st_mode & 0o777
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            digest.update(f"{name}\0{mode}\0".encode())
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
                while block := source.read(_CHUNK):
                    digest.update(block)
                    sink.write(block)
                    if archive.fp is not None and archive.fp.tell() > LIMIT:
                        raise _too_large(directory, taken)
            sizes.append((info.compress_size, name))
    size = target.stat().st_size
    if size > LIMIT:
        raise _too_large(directory, taken)
    return Package(f"_ray_pkg_{digest.hexdigest()}.zip", target, len(taken), ignored, size)


def _walk(directory: Path, excludes: Sequence[str]) -> tuple[list[Path], int]:
    """Files to take, sorted, and the number of those left out; .git never goes along."""
    rules: list[tuple[Path, pathspec.GitIgnoreSpec]] = [(directory, _rules([".git/", *excludes]))]
    taken: list[Path] = []
    ignored = 0
    seen: set[Path] = set()
    for root, folders, files in os.walk(directory, followlinks=True):
        here = Path(root)
        if (real := here.resolve()) in seen:  # a link to a folder above or beside it
            folders.clear()
            continue
        seen.add(real)
        rules = [(base, spec) for base, spec in rules if here == base or base in here.parents]
        for name in IGNORE_FILES:
            if name in files:
                rules.append((here, _rules((here / name).read_text(errors="replace").splitlines())))
        kept = [f for f in folders if not _matches(here / f, rules, folder=True)]
        ignored += len(folders) - len(kept)
        folders[:] = sorted(kept)
        for name in sorted(files):
            path = here / name
            if _matches(path, rules, folder=False) or not path.is_file():
                ignored += 1
            else:
                taken.append(path)
    return sorted(taken), ignored


def _rules(lines: Sequence[str]) -> pathspec.GitIgnoreSpec:
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _matches(path: Path, rules: Sequence[tuple[Path, pathspec.GitIgnoreSpec]], *, folder: bool) -> bool:
    """The innermost ignore file that says anything decides, as with git."""
    for base, spec in reversed(rules):
        verdict = spec.check_file(path.relative_to(base).as_posix() + ("/" if folder else "")).include
        if verdict is not None:
            return bool(verdict)
    return False


def _too_large(directory: Path, taken: Sequence[Path]) -> UploadTooLarge:
    largest = sorted(((p.stat().st_size, p) for p in taken), reverse=True)[:10]
    total = sum(p.stat().st_size for p in taken)
    lines = "\n".join(f"         {human_bytes(s):>9}  {p.relative_to(directory)}" for s, p in largest)
    return UploadTooLarge(
        f"{directory} is over Ray's upload limit of 100 MiB; nothing was sent",
        evidence=f"{human_bytes(total)} in {len(taken)} files, the largest:\n{lines}",
        remedy="--exclude PATTERN or a .rayignore file; data belongs on a volume, in an image or a bucket",
    )
