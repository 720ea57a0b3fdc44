"""A working directory as a package of Ray's: how large it would be, and one zip file."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raystead.base.quantities import human_bytes
from raystead.base.text import plural
from raystead.errors import UploadTooLarge, UsageError
from raystead.ops.tree import Entry, Walk, printable

__all__ = [
    "ARCHIVES",
    "LIMIT",
    "Package",
    "Sizes",
    "as_flags",
    "measure",
    "pack",
    "package_of_file",
    "refuse_too_large",
]

LIMIT = 100 * 2**20  # bytes; Ray's dashboard refuses larger bodies
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar.xz")  # a working_dir that is a package already
_HOPELESS = 2 * LIMIT  # estimated bytes from which nothing is zipped to see whether it fits
_PATIENCE = 3.0  # seconds after which a directory over the limit is not counted to its end
_SAMPLES, _SAMPLE = 16, 32 << 10  # places of a file and bytes at each from which its zipped size is estimated
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip that depends on contents only
_CHUNK = 1 << 20
_FOLDER = 0o40000  # S_IFDIR

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Package:
    """A zip ready to be sent: its name by contents, files in it, files left out, its size in bytes."""

    name: str
    path: Path
    files: int
    ignored: int
    bytes: int


@dataclass(frozen=True)
class Sizes:
    """What a directory holds: bytes of all files, and what they would be in a zip, estimated where large.

    Attributes:
        tops: for each entry of the directory itself: bytes, estimated bytes in a zip, files, largest file.
        whole: everything was counted.
    """

    bytes: int
    zipped: int
    files: int
    tops: dict[str, tuple[int, int, int, tuple[int, str]]]
    whole: bool


def measure(directory: Path, excludes: Sequence[str] = ()) -> Sizes:
    """Adds up what `pack` would take; stops early where it is hopelessly large.

    Raises:
        UsageError: it is not a directory, or something in it cannot be read.
    """
    _must_be_directory(directory)
    begun = time.monotonic()
    total = zipped = files = 0
    tops: dict[str, tuple[int, int, int, tuple[int, str]]] = {}
    for entry in Walk(directory, excludes).entries():
        if entry.folder:
            continue
        small = _zipped(entry) if zipped < _HOPELESS else entry.size
        total, zipped, files = total + entry.size, zipped + small, files + 1
        top = entry.name.partition("/")[0] + ("/" if "/" in entry.name else "")
        sizes, smalls, count, largest = tops.get(top, (0, 0, 0, (0, "")))
        largest = max(largest, (entry.size, entry.name))
        tops[top] = (sizes + entry.size, smalls + small, count + 1, largest)
        if zipped > _HOPELESS and time.monotonic() - begun > _PATIENCE:
            return Sizes(total, zipped, files, tops, whole=False)
    return Sizes(total, zipped, files, tops, whole=True)


def refuse_too_large(directory: Path, excludes: Sequence[str]) -> Sizes:
    """What `measure` finds.

    Raises:
        UsageError
        UploadTooLarge: no zip of it can be within Ray's limit.
    """
    sizes = measure(directory, excludes)
    if sizes.zipped > _HOPELESS:
        raise _too_large(directory, sizes)
    return sizes


def pack(
    directory: Path,
    target: Path,
    excludes: Sequence[str] = (),
    *,
    under: str = "",
    progress: Progress = lambda done, total: None,
) -> Package:
    """Zips `directory` into `target`, without what its ignore files and `excludes` name.

    Args:
        under: a folder of the zip that everything goes into (Ray wants that of a Python module).
        progress: gets the bytes read and the bytes in all.

    Raises:
        UsageError: it is not a directory, or something in it cannot be read or named in a zip.
        UploadTooLarge: the zip is over Ray's limit, or is certain to be; nothing was sent.
    """
    sizes = refuse_too_large(directory, excludes)
    walk = Walk(directory, excludes)
    digest = hashlib.sha1(usedforsecurity=False)
    done = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry in walk.entries():
            name = f"{under}/{entry.name}" if under else entry.name
            if entry.folder:
                info = zipfile.ZipInfo(f"{name}/", _EPOCH)
                info.external_attr = (_FOLDER | entry.mode) << 16 | 0x10  # MS-DOS' bit for a directory
                archive.writestr(info, b"")
                digest.update(f"{name}/\0{entry.mode}\0".encode())
                continue
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr, info.compress_type = entry.mode << 16, zipfile.ZIP_DEFLATED
            contents = hashlib.sha1(usedforsecurity=False)
            with entry.path.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
                while block := source.read(_CHUNK):
                    contents.update(block)
                    sink.write(block)
                    done += len(block)
                    progress(done, max(done, sizes.bytes))
                    if archive.fp is not None and archive.fp.tell() > LIMIT:
                        raise _too_large(directory, sizes)
            # contents go in as a digest of one length: no two directories can be read as the same bytes
            digest.update(f"{name}\0{entry.mode}\0".encode() + contents.digest())
    size = target.stat().st_size
    if size > LIMIT:
        raise _too_large(directory, sizes)
    return Package(f"_ray_pkg_{digest.hexdigest()}.zip", target, sizes.files, walk.ignored, size)


def package_of_file(file: Path, target: Path, *, module: bool) -> Package:
    """A single file as Ray takes it: a wheel by its own name, an archive as it is, a module in a zip.

    Args:
        module: it is one of `py_modules`; else a working_dir.

    Raises:
        UsageError: it cannot be read, or Ray does not take such a file there.
        UploadTooLarge
    """
    kinds = ", ".join((".py", ".whl") if module else ARCHIVES)
    if not file.name.endswith((".py", ".whl") if module else ARCHIVES):
        what = "a Python module" if module else "a working directory"
        raise UsageError(
            f"{file} is not a directory, and Ray takes no such file as {what}",
            remedy=f"give a directory, or a file of {kinds}",
        )
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        with file.open("rb") as source:
            while block := source.read(_CHUNK):
                digest.update(block)
        if file.suffix == ".py":
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo(file.name, _EPOCH), file.read_bytes())
            digest.update(file.name.encode())
        else:
            shutil.copyfile(file, target)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    size = target.stat().st_size
    if size > LIMIT:
        raise UploadTooLarge(
            f"{file} is over Ray's upload limit of 100 MiB; nothing was sent",
            evidence=human_bytes(size),
            remedy="put it into the image, or into a bucket: s3://…, https://…",
        )
    if file.suffix == ".whl":
        return Package(file.name, target, 1, 0, size)  # pip reads the version and the platform in the name
    ending = next((e for e in ARCHIVES if file.name.endswith(e)), ".zip")
    return Package(f"_ray_pkg_{digest.hexdigest()}{ending}", target, 1, 0, size)


def _must_be_directory(directory: Path) -> None:
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        raise UsageError(
            f"the directory to send, {directory}, {what}", remedy="give the directory that holds your program"
        )


def _zipped(entry: Entry) -> int:
    """About what the file would be in a zip; small ones are counted as they are."""
    if entry.size < _SAMPLE:
        return entry.size
    places = min(_SAMPLES, entry.size // _SAMPLE)
    read = packed = 0
    try:
        with entry.path.open("rb") as stream:
            for place in range(places):
                stream.seek(entry.size * place // places)
                block = stream.read(_SAMPLE)
                read, packed = read + len(block), packed + len(zlib.compress(block, 1))
    except OSError:
        return entry.size
    return min(entry.size, entry.size * packed // max(read, 1))


def _too_large(directory: Path, sizes: Sizes) -> UploadTooLarge:
    """The error, with the largest entries of the directory and the excludes that would be enough."""
    largest = sorted(sizes.tops.items(), key=lambda item: -item[1][0])
    lines = []
    for top, (size, _, files, (most, which)) in largest[:10]:
        inside = (
            f"   ({plural(files, 'file')}, the largest {printable(which)} {human_bytes(most)})"
            if "/" in top
            else ""
        )
        lines.append(f"         {human_bytes(size):>9}  {printable(top)}{inside}")
    more = "" if sizes.whole else "more than "
    total = f"{more}{human_bytes(sizes.bytes)} in {more}{sizes.files} files"
    return UploadTooLarge(
        f"{directory} is over Ray's upload limit of 100 MiB; nothing was sent",
        evidence="\n".join([f"{total}, the largest:", *lines]),
        remedy="--exclude PATTERN or a .rayignore file; data belongs on a volume, in an image or a bucket",
        leave_out=_leave_out(sizes),
    )


def _leave_out(sizes: Sizes) -> tuple[str, ...]:
    """The fewest entries without which the rest fits, as patterns; none when not everything was counted."""
    if not sizes.whole:
        return ()
    left, out = sizes.zipped, []
    for top, (_, small, _, _) in sorted(sizes.tops.items(), key=lambda item: -item[1][1]):
        if left <= LIMIT * 0.9:
            break
        out.append("/" + "".join(f"\\{c}" if c in "*?[\\" else c for c in top))
        left -= small
    return tuple(out)


def as_flags(patterns: Sequence[str]) -> str:
    """`--exclude /data/ --exclude '/a b'` for a shell."""
    return " ".join(f"--exclude {shlex.quote(pattern)}" for pattern in patterns)
