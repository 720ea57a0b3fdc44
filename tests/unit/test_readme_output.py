"""What README.md shows of `explain` is what the program says: nobody has typed it by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import explain_kit as kit
import pytest
from msgspec.structs import replace
from test_explain_rules import refused

from raystead.explain.engine import explain
from raystead.explain.model import Snapshot
from raystead.explain.text import render

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PODS = (("quota-exceeded", 0), ("insufficient-resources", 1), ("registry-unreachable", 2))


def shown() -> list[str]:
    """The findings of the README's section, in its order."""
    section = README.partition("## When it does not start\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0].rstrip("\n").split("\n\n")


def seen(block: str) -> str:
    """What Kubernetes said, from the block's line `seen`."""
    found = re.search(r"^  seen   event, .*? ago(?:, \d+ times)?: (.*)$", block, re.MULTILINE)
    assert found
    return found[1]


def quota(message: str) -> Snapshot:
    base = refused(message.partition(" is forbidden: ")[2])
    events = (
        kit.event("ReplicaSet", kit.replicaset("worker", 2, 1), "FailedCreate", message, seconds=10, count=4),
    )
    return replace(base, events=events)  # fmt: skip


def gpu(message: str) -> Snapshot:
    wants: dict[str, Any] = {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}}
    waits = kit.pending("worker", message)
    waits["spec"]["containers"][0]["resources"] = wants
    return replace(kit.with_pods("worker", waits), cluster=kit.spec("redis", 1))


def registry(message: str) -> Snapshot:
    """The README's line is cut; what it leaves out stands in the block's last line."""
    whole = message.removesuffix("read udp…") + "read udp 10.77.0.1:56743->10.255.255.53:53: i/o timeout"
    image = message.split('"')[1]
    pod = kit.waiting("head", "ErrImagePull", whole.partition(": ")[2])
    pod["spec"]["containers"][0]["image"] = image
    return kit.with_pods("head", pod, events=(kit.event("Pod", pod, "Failed", whole, seconds=10),))


def told(block: str) -> list[str]:
    """Its lines, without the ages and counts of what was seen, the cluster's name and the namespace."""
    lines = [line for line in block.splitlines() if not line.startswith("  seen ")]
    text = re.sub(r"\bfor \d+ s$", "for N s", "\n".join(lines), flags=re.MULTILINE)
    text = re.sub(r"namespace \w+", "namespace NS", text)
    return text.replace(" --name demo", "").splitlines()


@pytest.mark.parametrize(("cause", "at"), PODS, ids=[cause for cause, _ in PODS])
def test_what_the_readme_shows_of_explain_is_what_it_says(cause: str, at: int) -> None:
    block = shown()[at]
    found = [f for f in explain((quota, gpu, registry)[at](seen(block))) if f.cause == cause]
    assert told(render(found, kit.NOW)) == told(block)


def test_the_readme_shows_as_many_findings_as_are_compared() -> None:
    assert len(shown()) == len(PODS)
