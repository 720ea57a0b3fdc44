"""Slips in an image's name: what is wrong, what was probably meant. No list of versions is kept."""

from __future__ import annotations

import difflib
import re

from raystead.spec.model import RayCluster

__all__ = ["better", "complaint"]

_RAY = ("rayproject/ray", "rayproject/ray-ml", "rayproject/ray-llm")
_DIGITS = str.maketrans({"O": "0", "o": "0", "l": "1", "I": "1"})
_VERSION = re.compile(r"^\d+\.\d+\.\d+(?:rc\d+)?$")


def split(image: str) -> tuple[str, str]:
    """Repository (registry included) and tag; a digest is kept in the repository."""
    if "@" in image:
        return image, ""
    head, colon, tail = image.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (image, "")


def better(image: str, cluster: RayCluster | None = None) -> str | None:
    """The image that was probably meant; None when nothing looks like a slip."""
    repository, tag = split(image)
    fixed_repository = _repository(repository)
    ray = fixed_repository.rsplit("/", 1)[-1] in ("ray", "ray-ml", "ray-llm")
    fixed_tag = _tag(tag, cluster) if ray else tag  # only of Ray's tags is the form known
    fixed = f"{fixed_repository}:{fixed_tag}" if fixed_tag else fixed_repository
    return fixed if fixed != image else None


def complaint(image: str, cluster: RayCluster | None = None) -> str:
    """What is odd about the name, a clause; "" when nothing is."""
    repository, tag = split(image)
    fixed = better(image, cluster)
    if fixed is None:
        return ""
    wanted_repository, wanted = split(fixed)
    if wanted_repository != repository:
        return f'there is no such repository; "{repository}" looks like {wanted_repository}'
    version, wanted_version = tag.split("-")[0], wanted.split("-")[0]
    prefix = "the tag does not exist in the registry; "
    if version.startswith("v") and version[1:] == wanted_version:
        return f'{prefix}"{tag}": Ray\'s tags have no v in front'
    if version.translate(_DIGITS) == wanted_version and version != wanted_version:
        at = next(i for i, (a, b) in enumerate(zip(version, wanted_version, strict=True)) if a != b)
        place = "ends in" if at == len(version) - 1 else "has"
        return (
            f'{prefix}"{version}" {place} a letter {version[at]} where a digit {wanted_version[at]} belongs'
        )
    if wanted_version.startswith(version + "."):
        return f'{prefix}"{version}" has no patch version, Ray\'s tags have all three numbers'
    if "py" in tag and "py" in wanted:
        return f"{prefix}Ray writes Python's version as {re.findall(r'py[0-9]+', wanted)[0]}"
    return f'{prefix}"{tag}" looks like {wanted}'


def _repository(repository: str) -> str:
    low = repository.lower()
    if low in _RAY:
        return low
    bare = low.removeprefix("docker.io/")
    close = difflib.get_close_matches(bare, _RAY, n=1, cutoff=0.85)
    return close[0] if close and bare.count("/") <= 1 and bare not in _RAY else repository


def _tag(tag: str, cluster: RayCluster | None) -> str:
    version, *rest = re.split(r"[-_]", tag)
    if version.startswith("v"):
        version = version[1:]
    if not re.match(r"^[0-9OolI]+(\.[0-9OolI]+)+$", version):
        return tag
    version = version.translate(_DIGITS)
    if version.count(".") == 1:
        ray_version = (cluster.spec.ray_version or "") if cluster else ""
        version = ray_version if ray_version.startswith(version + ".") else f"{version}.0"
    if not _VERSION.match(version):
        return tag
    return "-".join([version, *(re.sub(r"^py(\d)\.(\d+)$", r"py\1\2", part) for part in rest)])
