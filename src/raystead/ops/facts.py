"""What only the cluster can tell: asked before the first `up`, kept in the anchor from then on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from raystead.base import labels, names
from raystead.base.text import plural
from raystead.doctor import taken, versions
from raystead.errors import ApiError, ClusterExists, Unsupported
from raystead.kube.api import Api, Json
from raystead.kube.paths import collection
from raystead.manifests import sizes
from raystead.manifests.demands import PlainObjects
from raystead.manifests.facts import Facts
from raystead.manifests.queues import asked_schedulers
from raystead.manifests.redis import VOLUME
from raystead.manifests.storage import storage_kind
from raystead.ops.rights import Rights, may, rights
from raystead.spec.model import RayCluster

__all__ = [
    "ClaimProbe",
    "Here",
    "caught",
    "first_facts",
    "namespaced",
    "notes_on_changes",
    "notes_on_steward",
    "probe_claim",
    "refuse_foreign",
    "server_version",
    "steward",
    "version_text",
]

_LEVEL = "pod-security.kubernetes.io/enforce"
_USER_IDS = "openshift.io/sa.scc.uid-range"  # OpenShift's annotation of a namespace that gives user ids
_RESTRICTED = re.compile(
    r'violates PodSecurity "restricted|runAsNonRoot|allowPrivilegeEscalation|seccompProfile|run as non-root'
)
_SCHEDULER_GROUPS = (("volcano", "scheduling.volcano.sh"), ("kai-scheduler", "scheduling.run.ai"))
_ALL_SIZES = tuple(f"{side}.{key}" for side in ("limits", "requests") for key in ("cpu", "memory"))


@dataclass(frozen=True)
class Here:
    """What was read of the namespace already; None: not read, so it is asked for where it matters."""

    namespace: Json | None = None
    quotas: Sequence[Json] | None = None
    limitranges: Sequence[Json] | None = None


def first_facts(api: Api, cluster: RayCluster, policies: Sequence[Json]) -> tuple[Facts, list[str]]:
    """The facts for a cluster that is not there yet, and what the user should know of them.

    `policies`: the namespace's NetworkPolicies.
    """
    version, notes = server_version(api)
    kept, more = _kept_storage_namespace(api, cluster.name)
    facts = Facts(namespace=api.namespace, server_version=version, storage_namespace=kept)
    notes += more
    plain = PlainObjects(cluster, facts)
    facts = replace(facts, isolated=bool(plain.isolated_by(policies)))
    facts = namespaced(api, cluster, facts, plain)
    if storage_kind(cluster) in ("redis", "rocksdb"):
        probe = probe_claim(api)
        facts = replace(facts, has_default_storage=probe.storage_class is not None)
        notes += _without_volume(cluster, facts, probe)
    return facts, notes


def namespaced(
    api: Api, cluster: RayCluster, facts: Facts, plain: PlainObjects, here: Here | None = None
) -> Facts:
    """The facts with what the namespace demands of pods (hardening, sizes) and who may schedule them.

    Nothing is asked where the answer would change no object, and what cannot be found out stays as it is.
    """
    here = here or Here()
    out = facts
    if facts.anchor_uid is None and plain.changed_by(gives_user_ids=True):
        if here.namespace is None and not may(api, "get", "namespaces"):
            here = replace(here, namespace={})  # a Role of one's own may lack it: nobody is to be refused
        here = replace(here, namespace=_namespace(api, here))
        given = (here.namespace or {}).get("metadata", {}).get("annotations") or {}
        out = replace(out, gives_user_ids=_USER_IDS in given)
    if plain.changed_by(restricted=True):
        found = _restricted(api, _namespace(api, here))
        out = out if found is None else replace(out, restricted=found)
    if plain.changed_by(demanded=_ALL_SIZES):
        found_sizes = _demanded(api, here)
        out = out if found_sizes is None else replace(out, demanded=found_sizes)
    if asked_schedulers(cluster):
        out = replace(out, schedulers=_schedulers(api))
    return out


def steward(
    api: Api, cluster: RayCluster, before: str = "", have: Rights | None = None, *, anew: bool = False
) -> str:
    """How the steward of an autoscaled cluster gets its rights: `Facts.steward`.

    A Role where this user may make one; else the ServiceAccount that the file names; else nobody gives it
    any, and a client acts. A running cluster for which a client acts goes on so, whoever changes it: rights
    for its steward restart the head, which is to be asked for (`anew`, or a ServiceAccount that is named).

    Args:
        before: what the running cluster has, if it is autoscaled.
        have: this user's rights, where they are known already.
    """
    if before == "client" and not anew and not cluster.spec.head.template.spec.get("serviceAccountName"):
        return "client"
    have, group = have or rights(api), "rbac.authorization.k8s.io"
    named = cluster.spec.head.template.spec.get("serviceAccountName")
    needed = [("roles", group), ("rolebindings", group), *([] if named else [("serviceaccounts", "")])]
    if all(
        have.allows("create", what, of) or (not have.complete and may(api, "create", what, of))
        for what, of in needed
    ):
        return "role"
    if named or before in ("role", "account"):
        return "account"
    return "client"


def notes_on_steward(before: str, now: str, cluster: str, namespace: str, may: str = "client") -> list[str]:
    """What there is to run, or to ask for, where nobody may give the steward its rights.

    Args:
        may: what this user could give it, where it goes on without.
    """
    if before == now == "client" and may != "client":
        return [
            f"autoscaling: workers go on coming only while `raystead autoscale {cluster}` runs; you may give "
            "the steward in the head rights of its own: "
            f"`raystead up --name {cluster} --autoscale` (restarts the head)"
        ]
    if now == before or (before and "client" not in (before, now)):
        return []
    if now != "client":
        acts = (
            "autoscaling: the steward in the head makes the workers itself from now on, with rights of its "
            "own, for which the head restarts; `raystead autoscale` is not needed any more. Without "
            "--autoscale and --service-account it stays as it is"
        )
        return [acts] if before else []
    return [
        f"autoscaling: you may not make a Role in namespace {namespace}, so workers come only while "
        f"`raystead autoscale {cluster}` runs; for a steward that makes them itself, send an administrator "
        f"what `raystead autoscale {cluster} --rbac` prints, then `raystead up --name {cluster} "
        f"--service-account raystead-{cluster}-autoscaler`"
    ]


def notes_on_changes(before: Facts, after: Facts) -> list[str]:
    """What became different in the namespace since the last `up`, a line each."""
    out = []
    if after.restricted and not before.restricted:
        out.append("the namespace enforces PodSecurity restricted now: every container is hardened")
    elif before.restricted and not after.restricted:
        out.append(
            "the namespace no longer enforces PodSecurity restricted: only Ray's own images stay hardened"
        )
    if more := sorted(set(after.demanded) - set(before.demanded)):
        out.append(f"a quota or LimitRange demands {', '.join(more)} now: what the file lacks is filled in")
    if less := sorted(set(before.demanded) - set(after.demanded)):
        out.append(f"no quota or LimitRange demands {', '.join(less)} any more: what was filled in goes")
    return out


def _namespace(api: Api, here: Here) -> Json:
    """The namespace itself; {} where it cannot be read: the pods will tell."""
    if here.namespace is not None:
        return here.namespace
    try:
        return api.get(f"/api/v1/namespaces/{api.namespace}")
    except ApiError:
        return {}


def _restricted(api: Api, namespace: Json) -> bool | None:
    """A pod that asks for nothing is refused for its security; None: that cannot be told.

    The namespace's label answers without a pod. Without it a cluster-wide default or another policy engine
    may refuse all the same, and only a dry-run knows.
    """
    if ((namespace.get("metadata") or {}).get("labels") or {}).get(_LEVEL) == "restricted":
        return True
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "raystead-probe-"},
        "spec": {"containers": [{"name": "probe", "image": "registry.k8s.io/pause:3.9"}]},
    }
    try:
        api.create(collection(api.namespace, "Pod"), pod, dry_run=True)
    except ApiError as error:
        if error.reason == "NamespaceTerminating":
            raise
        text = f"{error.what} {error.evidence}"
        if _RESTRICTED.search(text):
            return True
        # a quota is asked last: whoever gets so far has passed all else
        return False if " quota: " in text else None
    return False


def _schedulers(api: Api) -> tuple[str, ...]:
    """Batch schedulers whose kinds the API server serves; YuniKorn has none."""
    try:
        groups = {str(group.get("name")) for group in api.get("/apis").get("groups") or []}
    except ApiError:
        return ()
    return tuple(name for name, group in _SCHEDULER_GROUPS if group in groups)


def _demanded(api: Api, here: Here) -> tuple[str, ...] | None:
    def listed(kind: str, known: Sequence[Json] | None) -> Sequence[Json] | None:
        if known is not None:
            return known
        try:
            return api.list(collection(api.namespace, kind))
        except ApiError:
            return None

    quotas = listed("ResourceQuota", here.quotas)
    limitranges = listed("LimitRange", here.limitranges)
    if quotas is None or limitranges is None:
        return None
    return tuple(sizes.demanded(quotas, limitranges))


def server_version(api: Api) -> tuple[str, list[str]]:
    """ "1.36" and, where it is old, a note.

    Raises:
        Unsupported: older than Kubernetes 1.19.
    """
    version = api.get("/version")
    text = version_text(version)
    number = versions.number(text)
    if number < versions.OLDEST:
        raise Unsupported(
            f"Kubernetes {text} is too old",
            evidence=f"the API server says {version.get('gitVersion')}; 1.19 is the oldest that can do it",
            remedy="another cluster with --context",
        )
    old = number < versions.SUPPORTED
    return text, [f"Kubernetes {text} is older than 1.25: it may work, nobody tests it"] if old else []


def version_text(version: Json) -> str:
    """ "1.36" of the answer to /version; some servers write a minor version of "36+"."""
    return ".".join(re.sub(r"\D.*", "", str(version.get(key, ""))) or "0" for key in ("major", "minor"))


def refuse_foreign(api: Api, name: str) -> None:
    """Refuses a name that KubeRay or somebody's pods carry already: selectors would catch both.

    Raises:
        ClusterExists: there are such pods, or a RayCluster of that name.
    """
    selector = f"{labels.CLUSTER}={name},{labels.OURS}!={name}"
    pods = api.list(collection(api.namespace, "Pod"), labels=selector)
    if pods:
        shown = ", ".join(pod["metadata"]["name"] for pod in pods[:3])
        raise ClusterExists(
            f'a Ray cluster "{name}" that is not raystead\'s runs in namespace {api.namespace}',
            evidence=f"{plural(len(pods), 'pod')} with the label ray.io/cluster={name}: {shown}",
            remedy=f"another name: raystead up --name {name}-2",
        )
    if not rights(api).allows("get", "rayclusters", "ray.io"):
        return  # asking would be refused; without pods such a RayCluster does not run
    try:
        found = api.list(collection(api.namespace, "RayCluster"), fields=f"metadata.name={name}")
    except ApiError:
        return  # no such CRD
    if found:
        raise ClusterExists(
            f'KubeRay has a RayCluster "{name}" in namespace {api.namespace}',
            evidence=f"RayCluster/{name}, state {(found[0].get('status') or {}).get('state', 'unknown')}",
            remedy=f"another name: raystead up --name {name}-2",
        )


def caught(api: Api, name: str, objects: Sequence[Json]) -> list[str]:
    """What doctor's check of names says of pods of others that our Services and policies would select."""
    others = f"{labels.OURS}!={name}"
    pods: dict[str, Json] = {}
    for selector in taken.selectors(objects):
        chosen = f"{selector},{others}"
        for pod in api.list(collection(api.namespace, "Pod"), labels=chosen, keep=_labels_alone):
            pods[pod["metadata"]["name"]] = pod
    return [f"{what}; {evidence}" for what, evidence in taken.caught(objects, pods.values())]


def _labels_alone(pod: Json) -> Json:
    return {
        "metadata": {key: pod["metadata"].get(key) for key in ("name", "labels")},
        "status": pod.get("status"),
    }


class ClaimProbe(NamedTuple):
    """The class that a claim without one gets, or None; why the server refuses it, "" where it does not."""

    storage_class: str | None
    refused: str = ""


def probe_claim(api: Api) -> ClaimProbe:
    """Tries a claim without a class by a dry-run: listing StorageClasses is not our user's right."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"generateName": "raystead-probe-"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": VOLUME}}},
    }
    try:
        answer = api.create(collection(api.namespace, "PersistentVolumeClaim"), claim, dry_run=True)
    except ApiError as error:
        if error.reason == "NamespaceTerminating":
            raise
        return ClaimProbe(None, error.evidence or error.what)
    return ClaimProbe(answer["spec"].get("storageClassName"))


def _without_volume(cluster: RayCluster, facts: Facts, probe: ClaimProbe) -> list[str]:
    if facts.has_default_storage or facts.storage_class:
        return []
    if storage_kind(cluster) == "rocksdb":
        options = cluster.spec.gcs_fault_tolerance
        storage = options.storage if options else None
        if storage and (storage.claim_name or storage.storage_class_name):
            return []
        if probe.refused:
            raise Unsupported(
                "RocksDB needs a volume and this namespace refuses one",
                evidence=f"a dry-run of a claim of {VOLUME}: {probe.refused}",
                remedy="name a claim in gcsFaultToleranceOptions.storage.claimName, or --storage redis",
            )
        raise Unsupported(
            "RocksDB needs a volume and this namespace gives none",
            evidence="a dry-run of a claim without a class was answered without a class: there is no default",
            remedy="name a class in gcsFaultToleranceOptions.storage.storageClassName, or --storage redis",
        )
    why = f"the namespace refuses a claim of {VOLUME}" if probe.refused else "no default StorageClass"
    seen = f" ({probe.refused})" if probe.refused else ""
    return [
        f"{why}: Redis keeps its data in its pod alone{seen}. If that pod is lost, every detached "
        "actor is lost and all Ray nodes restart; the loss of the head is survived all the same"
    ]


def _kept_storage_namespace(api: Api, name: str) -> tuple[str | None, list[str]]:
    """The storage namespace on a claim that `down --keep-data` left."""
    selector = f"{labels.OURS}={name}"
    for claim in api.list(collection(api.namespace, "PersistentVolumeClaim"), labels=selector):
        metadata = claim["metadata"]
        kept = (metadata.get("annotations") or {}).get(names.STORAGE_NAMESPACE_ANNOTATION)
        if kept:
            return kept, [
                f"the claim {metadata['name']} holds the state of the last cluster: it is used again"
            ]
    return None, []
