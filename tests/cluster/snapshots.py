"""A namespace as `explain` sees it, read with kubectl as one user; also what tests/data/explain was recorded with."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import yaml
from kube import Kube

PARTS = {
    "pods": "pods",
    "events": "events",
    "replicasets": "replicasets.apps",
    "deployments": "deployments.apps",
    "statefulsets": "statefulsets.apps",
    "claims": "persistentvolumeclaims",
    "quotas": "resourcequotas",
    "limitranges": "limitranges",
    "services": "services",
    "policies": "networkpolicies.networking.k8s.io",
}


def read(kube: Kube, name: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """The snapshot as plain JSON, without its logs."""
    found = kube.get(",".join(PARTS.values()))["items"]
    kinds = {
        "Pod": "pods", "Event": "events", "ReplicaSet": "replicasets", "Deployment": "deployments",
        "StatefulSet": "statefulsets", "PersistentVolumeClaim": "claims", "ResourceQuota": "quotas",
        "LimitRange": "limitranges", "Service": "services", "NetworkPolicy": "policies",
    }  # fmt: skip
    parts: dict[str, Any] = {part: [] for part in PARTS}
    for thing in found:
        parts[kinds[thing["kind"]]].append(thing)
    return {
        "now": datetime.now(UTC).isoformat(),
        "namespace": kube.namespace,
        "name": name,
        "cluster": spec,
        "namespace_object": kube.get("namespace", kube.namespace),
        **parts,
        "logs": [],
    }


def logs(kube: Kube, keys: Any) -> list[list[Any]]:
    out = []
    for pod, container, previous in keys:
        words = ["logs", pod, "-c", container, "--tail=500", *(["--previous"] if previous else [])]
        done = kube.run(*words, check=False)
        out.append([pod, container, previous, done.stdout])
    return out


def record(kube: Kube, name: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """A snapshot with the logs that explain asks for."""
    from raystead.explain.engine import needed_logs
    from raystead.explain.recording import snapshot

    saved = read(kube, name, spec)
    saved["logs"] = logs(kube, needed_logs(snapshot(saved)))
    return saved


def anchor_spec(kube: Kube, name: str) -> dict[str, Any] | None:
    """The spec that our anchor keeps."""
    done = kube.run("get", "configmap", f"raystead-{name}", "-o", "json", check=False)
    if done.returncode:
        return None
    for text in json.loads(done.stdout).get("data", {}).values():
        document = yaml.safe_load(text)
        if isinstance(document, dict) and document.get("kind") == "RayCluster":
            return document
    return None


_UNREAD = {
    "managedFields", "annotations", "args", "env", "terminationMessagePath", "terminationMessagePolicy", "resourceVersion",
    "securityContext", "tolerations", "allocatedResources", "user", "qosClass", "dnsPolicy", "schedulerName", "priority",
    "enableServiceLinks", "preemptionPolicy", "imageID", "containerID", "hostIP", "hostIPs", "podIPs", "livenessProbe",
    "readinessProbe", "volumeMounts", "ownerReferences", "generateName", "selfLink", "restartPolicy", "revisionHistoryLimit",
    "observedGenerations", "reportingInstance", "lastProbeTime", "fieldPath", "sessionAffinity", "internalTrafficPolicy",
    "ipFamilies", "ipFamilyPolicy", "clusterIPs", "strategy", "progressDeadlineSeconds",
}  # fmt: skip


def bare(saved: dict[str, Any], **expected: Any) -> dict[str, Any]:
    """A recording without what no rule reads and no repository needs, with what must be found in it."""
    out: dict[str, Any] = dict(saved)
    for part in PARTS:
        out[part] = [_without(thing) for thing in out[part] or []]
        for thing in out[part]:
            if part in ("deployments", "statefulsets", "replicasets"):
                thing["spec"]["template"]["spec"] = {}
                thing["spec"].pop("volumeClaimTemplates", None)
            if part == "events":
                thing["metadata"] = {}
    out["namespace_object"] = _without(out["namespace_object"]) if out.get("namespace_object") else None
    out["logs"] = [[*key, _shorter(text)] for *key, text in out["logs"]]
    return {"expect": expected, **out}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in _UNREAD}
    return [_without(v) for v in value] if isinstance(value, list) else value


def _shorter(log: str) -> str:
    """Without the frames of native stack traces, which are most of a dying Ray's log."""
    lines = [line for line in log.splitlines() if not re.match(r"^(/|\*\*\*|@|  File |    )", line)]
    return "\n".join(line[:600] for line in lines[-60:])
