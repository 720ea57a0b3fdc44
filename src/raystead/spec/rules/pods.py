"""Pod templates: what the API server would refuse, or what is seldom meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from raystead.spec.finding import SpecFinding, groups
from raystead.spec.foreign import VARIABLE, has_variable
from raystead.spec.model import GroupSpec, Json, PolicyRules, RayCluster
from raystead.spec.podshape import check
from raystead.spec.yamlio import Path

__all__ = ["NOTES", "RULES", "containers_of", "shapes"]

_PORT_NAME = re.compile(r"^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*\Z")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_OURS = ("gcs-storage", "ray-token", "shared-mem", "tmp")  # volumes that raystead adds
_RAY = re.compile(r"(^|[/-])ray([-_:@]|$)|ray start")
# as the container runtimes read it: domain:port/path:tag@digest
_IMAGE = re.compile(
    r"^((?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+|/)[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@[A-Za-z][\w.+-]*:[0-9a-fA-F]{32,})?\Z"
)
_CURLED = re.compile("[\u2018\u2019\u201c\u201d]")  # quotation marks of a word processor
_UNFINISHED = re.compile(r"(\|\|?|&&?|;|\\)\Z")


def containers_of(at: Path, group: GroupSpec) -> Iterator[tuple[Path, Json]]:
    """Containers and init containers of a group's template, each with its path."""
    spec = group.template.spec
    for field in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(field) or []):
            yield (*at, "template", "spec", field, i), container


def shapes(cluster: RayCluster) -> Iterator[tuple[bool, SpecFinding]]:
    """Every part that is Kubernetes' own, against the table of its fields: (sure, finding)."""
    parts: list[tuple[object, str, Path]] = []
    for at, group in groups(cluster):
        spec, path = group.template.spec, (*at, "template")
        parts.append((group.template.metadata, "ObjectMeta", (*path, "metadata")))
        # Without containers it has a rule of its own.
        parts.append(({**spec, "containers": spec.get("containers") or []}, "PodSpec", (*path, "spec")))
    parts.append((cluster.spec.head.head_service, "Service", ("spec", "headGroupSpec", "headService")))
    parts.append((cluster.spec.autoscaler_options, "AutoscalerOptions", ("spec", "autoscalerOptions")))
    policy = cluster.spec.network_policy
    if policy:
        at = ("spec", "networkPolicy")
        each: list[tuple[Path, PolicyRules | None]] = [
            ((*at, "head"), policy.head),
            ((*at, "worker"), policy.worker),
        ]
        each += [((*at, "workerGroups", i), entry) for i, entry in enumerate(policy.worker_groups)]
        for path, rules in each:
            for i, rule in enumerate(rules.ingress_rules if rules else ()):
                parts.append((rule, "NetworkPolicyIngressRule", (*path, "ingressRules", i)))
            for i, rule in enumerate(rules.egress_rules if rules else ()):
                parts.append((rule, "NetworkPolicyEgressRule", (*path, "egressRules", i)))
    for value, kind, path in parts:
        problems, notes = check(value, kind, path)
        yield from ((True, finding) for finding in problems)
        yield from ((False, finding) for finding in notes)


def _containers(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        if not group.template.containers:
            yield SpecFinding((*at, "template", "spec"), "there is no container", "add the Ray container")
        seen: dict[str, Path] = {}
        for path, container in containers_of(at, group):
            name = container.get("name")
            if name in seen and seen[name][-2] != path[-2]:  # twice in one list: the table's rule
                what = f"a container and an init container are both named {name}"
                yield SpecFinding((*path, "name"), what, "rename one", (*seen[name], "name"))
            if name is not None:
                seen.setdefault(name, path)


def _images(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Without an image the API server refuses the pod; with another's spelling the node never pulls it."""
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            image = container.get("image")
            if not image:
                yield SpecFinding(path, "the container has no image", "add image")
            elif isinstance(image, str) and not _IMAGE.match(image):
                yield SpecFinding((*path, "image"), f'"{image}" is not a valid image', _image_meant(image))


def _image_meant(image: str) -> str:
    if has_variable(image):
        return VARIABLE
    bare = re.sub(r"^[a-z]+://", "", "".join(image.split()))
    repository, colon, tag = bare.rpartition(":") if ":" in bare.rpartition("/")[2] else (bare, "", "")
    for near in (bare, repository.lower() + colon + tag):
        if _IMAGE.match(near):
            return f"did you mean {near}?"
    return "for example rayproject/ray:2.60.0; names are in lower case"


def _ports(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            seen: dict[str, Path] = {}
            for i, port in enumerate(container.get("ports") or []):
                place: Path = (*path, "ports", i)
                protocol, name = port.get("protocol"), port.get("name")
                if protocol is not None and protocol not in _PROTOCOLS:
                    close = f"did you mean {protocol.upper()}?" if protocol.upper() in _PROTOCOLS else ""
                    what = f'"{protocol}" is not one of {", ".join(_PROTOCOLS)}'
                    yield SpecFinding((*place, "protocol"), what, close)
                if name is None:
                    continue
                named = (*place, "name")
                if len(name) > 15:
                    what = f'the port name "{name}" has {len(name)} characters, 15 at most'
                    yield SpecFinding(named, what, "shorten it")
                elif not _PORT_NAME.match(name):
                    what = f'"{name}" is not a valid port name'
                    yield SpecFinding(named, what, "lower-case letters, digits and - in between")
                elif name in seen:
                    what = f"two ports are named {name}"
                    yield SpecFinding(named, what, "give each port a name of its own", seen[name])
                seen.setdefault(name, named)


def _mounts(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        volumes = [str(volume["name"]) for volume in group.template.spec.get("volumes") or []]
        for path, container in containers_of(at, group):
            for i, mount in enumerate(container.get("volumeMounts") or []):
                name = mount["name"]
                if name in volumes or name in _OURS:
                    continue
                close = get_close_matches(name, volumes, n=1)
                instead = f"did you mean {close[0]}?" if close else "add it to the pod's volumes"
                yield SpecFinding((*path, "volumeMounts", i, "name"), f'there is no volume "{name}"', instead)


def _tolerations(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        for i, toleration in enumerate(group.template.spec.get("tolerations") or []):
            path = (*at, "template", "spec", "tolerations", i)
            operator, value = toleration.get("operator"), toleration.get("value")
            if operator == "Exists" and isinstance(value, str) and value:
                yield SpecFinding(
                    (*path, "value"), "operator Exists takes no value", "remove it, or use Equal"
                )
            if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
                what = "tolerationSeconds needs the effect NoExecute"
                yield SpecFinding((*path, "tolerationSeconds"), what, "remove it")


def _commands(cluster: RayCluster) -> Iterator[SpecFinding]:
    """A command of the Ray container runs before Ray, joined to `ray start` by &&."""
    for at, group in groups(cluster):
        ray = group.template.ray_container
        words = [str(word) for field in ("command", "args") for word in ray.get(field) or []]
        text = " ".join(words).rstrip()
        if not text or "ray start" in text or cluster.overwrites_command(group):
            continue
        field = "args" if ray.get("args") else "command"
        path = (*at, "template", "spec", "containers", 0, field)
        last = text.splitlines()[-1].strip()
        if match := _UNFINISHED.search(last):
            what = f'the command ends in "{match[1]}" and is followed by && ray start: bash refuses that'
            yield SpecFinding(path, what, f'remove the "{match[1]}"')
        elif last.startswith("#"):
            what = "the command ends in a comment, which also hides the ray start that follows it"
            yield SpecFinding(path, what, "remove the comment, or move it up")


def _quotation_marks(cluster: RayCluster) -> Iterator[SpecFinding]:
    """Copied from a page or a word processor: bash takes them for letters."""
    for at, group in groups(cluster):
        for path, container in containers_of(at, group):
            for field in ("command", "args"):
                for i, word in enumerate(container.get(field) or []):
                    if _CURLED.match(str(word)) and _CURLED.search(str(word)[-1]):
                        what = f"{word[0]} and {word[-1]} are letters to YAML and bash, not quotation marks"
                        yield SpecFinding((*path, field, i), what, "write \" or '")


def _looks_like_ray(container: Json) -> bool:
    words = [container.get("image"), container.get("name"), *(container.get("args") or [])]
    return any(_RAY.search(str(word)) for word in words)


def _first_container(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        first, *others = group.template.containers or [{}]
        ray = next((c for c in others if _looks_like_ray(c)), None)
        if ray is not None and first and not _looks_like_ray(first):
            path = (*at, "template", "spec", "containers", 0)
            what = f"the first container is the Ray container, and this is {first.get('name', 'another one')}"
            yield SpecFinding(path, what, f"put {ray.get('name', 'the Ray container')} first")


def _host_network(cluster: RayCluster) -> Iterator[SpecFinding]:
    for at, group in groups(cluster):
        if group.template.spec.get("hostNetwork"):
            path = (*at, "template", "spec", "hostNetwork")
            what = "network policies cannot see pods in the node's network, nor keep others from their ports"
            yield SpecFinding(path, what)


RULES = (_containers, _images, _ports, _mounts, _tolerations, _commands, _quotation_marks)
NOTES = (_first_container, _host_network)
