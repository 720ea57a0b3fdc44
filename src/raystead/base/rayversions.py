"""Ray's versions, as texts and images' tags tell them. The only place that reads them."""

from __future__ import annotations

import re

__all__ = ["dotted", "image_version", "tag_version", "version_of"]

_VERSION = re.compile(r"^v?([0-9]{1,9})\.([0-9]{1,9})")
# Ray's own tags: 2.60.0-py311, nightly-2.9…; a date or a build number is none. Only repositories that end in
# /ray are believed (rayproject/ray and its mirrors): `acme/trainer:1.4.2` says the version of the trainer.
_TAG = re.compile(r"/ray:(?:nightly-)?v?(\d\.\d+(?:\.\w+)?)(?!\d)[^/]*$")


def version_of(text: str | None) -> tuple[int, int] | None:
    """ "2.60.0" or "v2.60.0" -> (2, 60); None where there is none or it is not a version."""
    match = _VERSION.match(text or "")
    return (int(match[1]), int(match[2])) if match else None


def image_version(image: str) -> str:
    """Ray's version as the image's tag tells it, "2.60.0" or "2.60"; "" where it does not."""
    match = _TAG.search(image.partition("@")[0])
    return match[1] if match else ""


def tag_version(image: str) -> tuple[int, int] | None:
    """The same as major and minor version; None where it is not known."""
    return version_of(image_version(image))


def dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
