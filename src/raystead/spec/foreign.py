"""Files that hold no RayCluster: what they are, and the way from there to a cluster."""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

__all__ = [
    "VARIABLE",
    "Recognised",
    "has_variable",
    "is_template",
    "named_for_what_it_is",
    "pasted",
    "plain_objects",
]

_TEMPLATE = re.compile(r"\{\{-?\s*[\w.$(/\"]|\{%-?\s*\w")
_FROM = "raystead up -f -"
_RAYS = {kind.lower(): kind for kind in ("RayCluster", "RayJob", "RayService", "RayCronJob")}


class Recognised(NamedTuple):
    what: str
    instead: str = ""


_CONFLICT = re.compile(r"^(<{7}|>{7}) ")
_YTT = re.compile(r"#@ (load\(|data\.values|if |for |def )|^#@data/")
_FENCE = re.compile(r"^(```|~~~)")
_AROUND = (  # how a first line begins, and what it is
    (re.compile(r"[$%] \S"), Recognised("this line is a command, not YAML", "remove it")),
    (
        re.compile(r"Warning: |Error from server|error: |[WE]\d{4} \d\d:"),
        Recognised(
            "this line is a message of kubectl, not YAML",
            "remove it, and keep standard error out of the file: kubectl get … -o yaml > FILE",
        ),
    ),
    (
        re.compile("//|/[*]"),
        Recognised("this is JSON with comments, which JSON does not have", "remove them"),
    ),
    (
        re.compile(r"diff --git |--- \w+/|@@ |\+apiVersion:"),
        Recognised("this is a patch, not YAML", "apply it first: git apply FILE"),
    ),
)


_HELM = re.compile(r"^(NOTES|HOOKS|MANIFEST|LAST DEPLOYED):")


VARIABLE = f"it is a variable of a template: envsubst < FILE | {_FROM}"


def has_variable(text: str) -> bool:
    """${NAME}, which envsubst or a pipeline fills in; names and images have no dollar."""
    return "${" in text


def is_template(line: str) -> bool:
    """A line of a Helm or Jinja template: {{ .Values.image }}, {% if gpu %}."""
    return bool(_TEMPLATE.search(line))


TEMPLATE = Recognised(
    "this is a template of Helm or Jinja, not YAML yet",
    f"render it first: helm template NAME CHART | {_FROM}",
)


def pasted(text: str) -> tuple[int, Recognised] | None:
    """What stands around a file that was copied from a terminal, a page or a review, and its line.

    No Kubernetes object has a field that such a first line could be.
    """
    lines = text.splitlines()
    number = next((i for i, line in enumerate(lines) if line.strip()), None)
    if number is None:
        return None
    for form, known in _AROUND:
        if form.match(lines[number]):
            return number + 1, known
    if conflict := next((i for i, line in enumerate(lines, 1) if _CONFLICT.match(line)), None):
        return conflict, Recognised("this is a conflict of a merge, not YAML", "resolve it first")
    if ytt := next((i for i, line in enumerate(lines, 1) if _YTT.search(line)), None):
        return ytt, Recognised("this is a template of ytt", f"render it first: ytt -f FILE | {_FROM}")
    if helm := next((i for i, line in enumerate(lines, 1) if _HELM.match(line)), None):
        what = "this is what helm install prints, not YAML alone"
        return helm, Recognised(what, f"helm template NAME CHART | {_FROM}")
    fence = next((i for i, line in enumerate(lines, 1) if _FENCE.match(line)), None)
    if fence and any(line.startswith("kind:") for line in lines[fence:]):
        return fence, Recognised("this is Markdown, not YAML", "keep only what stands between the fences")
    return None


def named_for_what_it_is(value: Any, filename: str) -> Recognised | None:
    """A document that is nothing of Kubernetes, or not for an API server; None for all others."""
    file = shlex.quote(filename)
    if isinstance(value, str):
        if value.lstrip().startswith("<"):
            return Recognised("this is a web page (HTML), not YAML", "download the file itself, not its page")
        return Recognised("this is plain text, not a RayCluster", "kind: RayCluster")
    if not isinstance(value, dict):
        return Recognised("this is a list, not a RayCluster", "kind: RayCluster")
    keys = set(value)
    if _is_kustomization(value, filename):
        folder = shlex.quote(filename.rpartition("/")[0] or ".")
        return Recognised("this is a kustomization", f"kubectl kustomize {folder} | {_FROM}")
    if "sops" in keys and isinstance(value["sops"], dict):
        return Recognised("this file is encrypted with SOPS", f"sops decrypt {file} | {_FROM}")
    if meant := _nearly_ours(value):
        return meant
    if value.get("kind") == "Config" and "clusters" in keys:
        return Recognised("this is a kubeconfig", f"raystead up --kubeconfig {file}")
    if value.get("kind") and value.get("apiVersion"):
        return None
    if "spec" in keys and isinstance(value["spec"], dict) and "headGroupSpec" in value["spec"]:
        missing = " and ".join(k for k in ("apiVersion", "kind") if not value.get(k))
        return Recognised(f"this document has no {missing}", "apiVersion: ray.io/v1, kind: RayCluster")
    if "headGroupSpec" in keys:
        return Recognised("this is the spec of a RayCluster without its frame", "put it under spec:")
    if "version" in keys and "name" in keys and value.get("apiVersion") in ("v1", "v2"):
        folder = shlex.quote(filename.rpartition("/")[0] or ".")
        return Recognised("this is the Chart.yaml of a Helm chart", f"helm template NAME {folder} | {_FROM}")
    if "services" in keys and isinstance(value["services"], dict):
        return Recognised(
            "this is a file of Docker Compose, not of Kubernetes", "raystead up --image IMAGE takes its image"
        )
    values = {"head", "worker"} <= keys or ("head" in keys and keys & {"image", "additionalWorkerGroups"})
    if values or keys & {"nameOverride", "fullnameOverride"}:
        command = f"helm template NAME kuberay/ray-cluster -f {file} | {_FROM}"
        return Recognised("these are values of a Helm chart, not a RayCluster", command)
    if {"cluster_name", "provider"} <= keys:
        what = "this is a configuration of Ray's cluster launcher (ray up), not a RayCluster"
        return Recognised(what, "raystead up makes a cluster from flags: raystead up --help")
    if "applications" in keys or "import_path" in keys:
        return Recognised(
            "this is a configuration of Ray Serve, not a RayCluster", "raystead up, then serve deploy"
        )
    if keys & {"worker-groups", "ray-version"}:
        command = f"kubectl ray create cluster --file {file} --dry-run | {_FROM}"
        return Recognised("this is a configuration of kubectl ray, not a RayCluster", command)
    return None


def _is_kustomization(value: dict[str, Any], filename: str) -> bool:
    """By its API, or, as it may leave that out, by the file's name or its lists."""
    if str(value.get("apiVersion", "")).startswith("kustomize.config.k8s.io/"):
        return True
    if value.get("kind"):
        return False
    named = filename.rpartition("/")[2] in ("kustomization.yaml", "kustomization.yml", "Kustomization")
    return named or (isinstance(value.get("resources"), list) and "spec" not in value)


def _nearly_ours(value: dict[str, Any]) -> Recognised | None:
    """One of Ray's documents under another API, or with its kind in other letters."""
    kind, api = value.get("kind"), str(value.get("apiVersion") or "")
    if not isinstance(kind, str):
        return None
    meant = _RAYS.get(kind.lower().removesuffix("s").replace("-", ""))
    if meant is None or not api or (kind == meant and api.startswith("ray.io/")):
        return None
    spec = value.get("spec")
    if isinstance(spec, dict) and "podTypes" in spec:
        what = "this is a RayCluster of Ray's operator before KubeRay"
        return Recognised(what, "write its podTypes as headGroupSpec and workerGroupSpecs of ray.io/v1")
    return Recognised(f"there is no {kind} of {api}", f"did you mean apiVersion: ray.io/v1, kind: {meant}?")


def plain_objects(kinds: list[str], text: str) -> Recognised:
    """A file of other objects alone: the objects of a Ray cluster by hand, or what accompanies one."""
    listed = ", ".join(dict.fromkeys(kinds))
    if "Deployment" in kinds and "ray start" in text:
        what = f"there is no RayCluster in this file: its {listed} are the objects of a cluster made by hand"
        return Recognised(what, "raystead up makes such a cluster by itself, without a file")
    what = f"there is no RayCluster in this file, only {listed}"
    return Recognised(what, "add the RayCluster that they belong to, or apply them: kubectl apply -f FILE")
