"""Every kind of object that raystead makes, reads or deletes: one row per kind, the source of every table.

A new kind is a new row here and nothing else: paths, plans, `down`, quotas and rights follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["CLAIM", "KINDS", "ROWS", "Kind", "made_by", "names", "owned", "parts", "pod_template"]

CLAIM = "PersistentVolumeClaim"
_READ = ("get", "list", "watch")
_WRITE = ("create", "patch", "delete")
_USE = ("get", "list", *_WRITE)
_POD_TEMPLATE = ("spec", "template")


class Kind(NamedTuple):
    """One kind of object.

    Attributes:
        name: `Deployment`.
        version: the apiVersion that we use: `apps/v1`; `v1` is the core group.
        plural: its name in paths and in rights.
        owned: `up` makes it with the anchor as owner; the plan compares it, `down` deletes it.
        rare: only some specs make it. It is listed, and its rights are needed, where the spec in hand does.
        holds_state: the plan never deletes it, only `down` does.
        template: where its pod template is; () where it makes no pods.
        immutable: fields that only a new object can change. An object with such fields holds no state itself,
            so that it may be replaced.
        short_quota: a ResourceQuota counts it as `PLURAL` too, not only as `count/PLURAL.GROUP`.
        part: the name of its list in what `explain` and `doctor` look at; "" where neither does.
        anybodys: those of others in the namespace matter to us too, so the list is not limited to our label.
        verbs: what a user of raystead may have to do with it.
        idle_verbs: what is left of them for a spec that makes none; None: all of them.
        purpose: what the rights are for, a noun.
        must: without the rights no cluster runs.
    """

    name: str
    version: str
    plural: str
    owned: bool = False
    rare: bool = False
    holds_state: bool = False
    template: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    short_quota: bool = False
    part: str = ""
    anybodys: bool = False
    verbs: tuple[str, ...] = ()
    idle_verbs: tuple[str, ...] | None = None
    purpose: str = ""
    must: bool = True

    @property
    def group(self) -> str:
        """The API group, "" for the core one."""
        return self.version.rpartition("/")[0]

    @property
    def prefix(self) -> str:
        """The path of its API group and version."""
        return f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"

    @property
    def quota_names(self) -> tuple[str, ...]:
        """Under which names a ResourceQuota counts objects of this kind."""
        counted = f"count/{self.plural}.{self.group}" if self.group else f"count/{self.plural}"
        return (self.plural, counted) if self.short_quota else (counted,)


# In the order in which a plan deletes: what runs goes first, what it needs goes last.
ROWS = (
    Kind(
        "CronJob",
        "batch/v1",
        "cronjobs",
        owned=True,
        rare=True,
        template=("spec", "jobTemplate", "spec", "template"),
        verbs=_USE,
        idle_verbs=(),
        purpose="clusters at fixed times",
    ),
    Kind(
        "Job",
        "batch/v1",
        "jobs",
        owned=True,
        rare=True,
        template=_POD_TEMPLATE,
        immutable=("spec.selector", "spec.template", "spec.completions", "spec.completionMode"),
        verbs=_USE,
        idle_verbs=("get", *_WRITE),
        purpose="run, and doctor --probe",
        must=False,
    ),
    Kind(
        "Deployment",
        "apps/v1",
        "deployments",
        owned=True,
        template=_POD_TEMPLATE,
        immutable=("spec.selector",),
        part="deployments",
        verbs=(*_READ, *_WRITE),
        purpose="head and workers",
    ),
    Kind(
        "StatefulSet",
        "apps/v1",
        "statefulsets",
        owned=True,
        template=_POD_TEMPLATE,
        immutable=(
            "spec.selector",
            "spec.serviceName",
            "spec.volumeClaimTemplates",
            "spec.podManagementPolicy",
        ),
        part="statefulsets",
        verbs=(*_READ, *_WRITE),
        idle_verbs=("list",),
        purpose="Redis",
    ),
    Kind(
        "ReplicaSet",
        "apps/v1",
        "replicasets",
        template=_POD_TEMPLATE,
        part="replicasets",
        verbs=("list", "patch", "delete"),
        purpose="explanations, ending a back-off, and a quick down",
    ),
    Kind(
        "Pod",
        "v1",
        "pods",
        short_quota=True,
        part="pods",
        verbs=(*_READ, *_WRITE),
        purpose="seeing pods, checking them first, ending them",
    ),
    Kind(
        "Service",
        "v1",
        "services",
        owned=True,
        immutable=(
            "spec.clusterIP",
            "spec.clusterIPs",
            "spec.type",
            "spec.ipFamilies",
            "spec.ipFamilyPolicy",
        ),
        short_quota=True,
        part="services",
        verbs=_USE,
        purpose="the head's address",
    ),
    Kind(
        "Ingress",
        "networking.k8s.io/v1",
        "ingresses",
        owned=True,
        rare=True,
        verbs=_USE,
        idle_verbs=(),
        purpose="the dashboard's address outside",
    ),
    Kind(
        "NetworkPolicy",
        "networking.k8s.io/v1",
        "networkpolicies",
        owned=True,
        part="policies",
        anybodys=True,
        verbs=_USE,
        purpose="network policies",
    ),
    Kind(
        CLAIM,
        "v1",
        "persistentvolumeclaims",
        owned=True,
        holds_state=True,
        short_quota=True,
        part="claims",
        anybodys=True,
        verbs=_USE,
        purpose="the volume of the state",
    ),
    Kind(
        "RoleBinding",
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        owned=True,
        rare=True,
        immutable=("roleRef",),
        verbs=_USE,
        idle_verbs=(),
        purpose="what the autoscaler may do",
    ),
    Kind(
        "Role",
        "rbac.authorization.k8s.io/v1",
        "roles",
        owned=True,
        rare=True,
        verbs=_USE,
        idle_verbs=(),
        purpose="what the autoscaler may do",
    ),
    Kind(
        "ServiceAccount",
        "v1",
        "serviceaccounts",
        owned=True,
        rare=True,
        verbs=_USE,
        idle_verbs=(),
        purpose="the autoscaler's identity",
    ),
    Kind(
        "Secret",
        "v1",
        "secrets",
        owned=True,
        short_quota=True,
        verbs=_USE,
        purpose="the token and Redis' password",
    ),
    Kind(
        "ConfigMap",
        "v1",
        "configmaps",
        owned=True,
        short_quota=True,
        verbs=(*_READ, "create", "update", "patch", "delete"),
        idle_verbs=("get", "list", "create", "update", "patch", "delete"),
        purpose="the record of what the cluster is",
    ),
    Kind(
        "Event",
        "v1",
        "events",
        part="events",
        anybodys=True,
        verbs=("list", "watch"),
        purpose="explanations",
        must=False,
    ),
    Kind(
        "ResourceQuota",
        "v1",
        "resourcequotas",
        part="quotas",
        anybodys=True,
        verbs=("list",),
        purpose="quota arithmetic",
        must=False,
    ),
    Kind(
        "LimitRange",
        "v1",
        "limitranges",
        part="limitranges",
        anybodys=True,
        verbs=("list",),
        purpose="quota arithmetic",
        must=False,
    ),
    Kind("RayCluster", "ray.io/v1", "rayclusters"),
)
KINDS: dict[str, Kind] = {row.name: row for row in ROWS}


def names(rows: Iterable[Kind] = ROWS) -> tuple[str, ...]:
    """The rows' kinds, in their order."""
    return tuple(row.name for row in rows)


def owned(made: Iterable[str] = ()) -> tuple[str, ...]:
    """The kinds that `up` makes, in the order of deletion; of the rare ones only those in `made`."""
    there = set(made)
    return names(row for row in ROWS if row.owned and (not row.rare or row.name in there))


def made_by(objects: Iterable[dict[str, Any]]) -> frozenset[str]:
    """The kinds of these objects."""
    return frozenset(str(item["kind"]) for item in objects)


def parts(*without: str) -> dict[str, Kind]:
    """By the name of its list, what `explain` and `doctor` look at; without the kinds named."""
    return {row.part: row for row in ROWS if row.part and row.name not in without}


def pod_template(item: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template in an object; None where its kind makes no pods or the template is not there."""
    row = KINDS.get(str(item.get("kind")))
    value: Any = item
    for key in row.template if row and row.template else ("",):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None
