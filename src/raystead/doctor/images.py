"""References of images: whether they can be read at all, and slips in their tags. No registry is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.doctor.model import Check, Observations
from raystead.explain.tags import better, complaint

__all__ = ["check", "registry", "wrong"]

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
# a first part without a dot or a port is not a host but part of the repository
_HOST = rf"(?:localhost(?::\d+)?|{_LABEL}(?::\d+)|{_LABEL}(?:\.{_LABEL})+(?::\d+)?)"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REFERENCE = re.compile(
    rf"(?:(?:{_HOST}|\[[0-9a-fA-F:]+\](?::\d+)?)/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"
)


def check(seen: Observations) -> Iterator[Check]:
    images: dict[str, list[str]] = {}
    for pods in seen.groups:
        spec = pods.pod.get("spec") or {}
        for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            images.setdefault(str(container.get("image") or ""), []).append(str(pods.group))
    fine = True
    for image, groups in images.items():
        where = f"of {', '.join(dict.fromkeys(groups))}"
        if why := wrong(image):
            fine = False
            yield Check(
                "image",
                "fail",
                f'"{image}" {where} is not a valid image reference: {why}',
                "",
                f"{seen.up} --image IMAGE",
            )
        elif slip := complaint(image, seen.cluster):
            fine = False
            remedy = f"{seen.up} --image {better(image, seen.cluster)}"
            yield Check(
                "image", "warn", f"{image} {where} looks wrong: {slip}", "no registry was asked", remedy
            )
    if fine:
        shown = ", ".join(images)
        yield Check(
            "image",
            "ok",
            f"{shown}: well-formed",
            "no registry was asked",
            "raystead doctor --probe pulls it",
        )


def registry(image: str) -> str:
    """The host that an image is pulled from; "" where that is Docker's own."""
    host, slash, _ = image.partition("/")
    return host if slash and (host == "localhost" or "." in host or ":" in host) else ""


def wrong(image: str) -> str:
    """Why Kubernetes could never pull it, a clause; "" when the reference is well-formed."""
    if _REFERENCE.fullmatch(image):
        return ""
    if not image:
        return "it is empty"
    if "://" in image:
        return "a reference begins with the registry's host, without https://"
    if image != image.strip() or " " in image:
        return "it holds blanks"
    name = image.split("@")[0]
    tail = name.rpartition("/")[2]
    repository = name[: len(name) - len(tail)] + tail.partition(":")[0]
    if repository != repository.lower():
        return f'repositories are in lower case: "{repository.lower()}"'
    if tail.endswith(":"):
        return "its tag is empty"
    if ":" in tail and not _TAG.fullmatch(tail.partition(":")[2]):
        return f'its tag "{tail.partition(":")[2]}" holds something else than letters, digits, _ . -'
    return "it is not HOST/REPOSITORY:TAG"
