"""Flags make the built-in spec, or change what they name in a given one."""

from __future__ import annotations

import copy
import re
from decimal import ROUND_FLOOR

from msgspec import Struct

from raystead.base.labels import OBJECT_LABELS, steers
from raystead.base.quantities import binary
from raystead.base.rayversions import image_version
from raystead.base.times import in_seconds
from raystead.spec import rules
from raystead.spec.allow import ALLOW_ANNOTATION, with_peers
from raystead.spec.builtin import builtin_document
from raystead.spec.finding import whole
from raystead.spec.flagvalues import FlagValues
from raystead.spec.idle import IDLE_ANNOTATION, LEAST_IDLE, NEVER, idle_end_of
from raystead.spec.model import Json, RayCluster, read
from raystead.spec.podedits import add, mount_claim, sidecars
from raystead.spec.problems import Problem, SpecNote, problems_error
from raystead.spec.yamlio import dotted

__all__ = ["Flags", "build", "laid_over", "notes_of"]

_REDIS_LABELS = "raystead.io/redis-labels"  # spec knows nothing of manifests, which reads it

_GPU = "nvidia.com/gpu"
_OFFICIAL = re.compile(r"^((?:.*/)?rayproject/ray(?:-\w+)?:)\d+\.\d+\.\d+")  # its tag begins with the version
_AUTOSCALER = "RAY_enable_autoscaler_v2"
_MOST = 10  # workers that --autoscale allows without --max
_HEAD_FLOOR = 8 * 2**30  # what Ray recommends for a head in production


class Flags(Struct, frozen=True):
    """What was typed; None or () is: not typed."""

    name: str | None = None
    namespace: str | None = None
    workers: int | None = None
    worker_cpu: str | None = None
    worker_memory: str | None = None
    head_cpu: str | None = None
    head_memory: str | None = None
    gpus: int | None = None
    image: str | None = None
    ray_version: str | None = None
    redis_image: str | None = None
    redis_memory: str | None = None
    redis_cpu: str | None = None
    redis_address: str | None = None
    redis_password_secret: str | None = None
    pull_secret: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    env_from_secret: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    service_account: str | None = None
    node_selector: tuple[str, ...] = ()
    toleration: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    storage: str | None = None
    whole_node: str | None = None
    reserve: str | None = None
    allow_from: tuple[str, ...] = ()
    allow_to: str | None = None
    autoscale: bool | None = None
    least: int | None = None
    most: int | None = None
    idle: str | None = None
    idle_keeps_data: bool | None = None


def build(flags: Flags, base: RayCluster | None = None) -> RayCluster:
    """The built-in spec, or `base`, with the flags laid over it.

    Raises:
        SpecError: with every flag that makes no sense, and every rule that the result breaks.
    """
    if base is not None and flags == Flags(name=flags.name, namespace=flags.namespace):
        return base
    given = base.document() if base is not None else builtin_document()
    document, problems = laid_over(flags, given, own=base is None)
    if problems:
        raise problems_error(problems)
    cluster = read(RayCluster, document)
    broken = [Problem("flags", 0, 0, dotted(f.path), f.what, f.instead) for f in rules.problems(cluster)]
    if broken:
        raise problems_error(broken)
    return cluster


def notes_of(cluster: RayCluster) -> tuple[SpecNote, ...]:
    """Notes on a cluster that flags alone have made."""
    return tuple(SpecNote("flags", 0, 0, dotted(f.path), f.what, f.instead) for f in rules.notes(cluster))


def laid_over(flags: Flags, given: Json, *, own: bool = False) -> tuple[Json, list[Problem]]:
    """A copy of a document that the model accepts, with the flags in it; and what is wrong with the flags.

    `own`: it is the built-in spec, whose names change with the cluster's.
    """
    change = _Change(copy.deepcopy(given))
    change.identity(flags, own=own)
    change.sizes(flags)
    change.autoscaling(flags)
    change.whole_node(flags)
    change.pods(flags)
    change.storage(flags)
    change.allow(flags)
    change.idle(flags)
    return change.document, change.values.problems


class _Change:
    """A document under change; `values` has what is wrong with the flags."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.spec: Json = document["spec"]
        self.values = FlagValues()

    @property
    def head(self) -> Json:
        head: Json = self.spec["headGroupSpec"]
        return head

    @property
    def workers(self) -> list[Json]:
        return list(self.spec.get("workerGroupSpecs") or [])

    def problem(self, flag: str, what: str, instead: str = "") -> None:
        self.values.problem(flag, what, instead)

    def identity(self, flags: Flags, *, own: bool) -> None:
        metadata = self.document["metadata"]
        if flags.name and flags.name != metadata.get("name"):
            metadata["name"] = flags.name
            metadata.pop("generateName", None)
            if own:
                metadata["annotations"]["raystead.io/names"] = "kuberay"
        if flags.namespace:
            metadata["namespace"] = flags.namespace
        if flags.image:
            for container in self._ray_containers():
                container["image"] = flags.image
        elif flags.ray_version:
            for container in self._ray_containers():
                container["image"] = _OFFICIAL.sub(
                    rf"\g<1>{flags.ray_version}", str(container.get("image", ""))
                )
        version = flags.ray_version or _version_in(flags.image)
        if version:
            self.spec["rayVersion"] = version

    def sizes(self, flags: Flags) -> None:
        if flags.workers is not None:
            if flags.workers < 0:
                self.problem("workers", f"{flags.workers} is negative", "0 or more")
            elif (group := self._only_group("workers")) is not None:
                group["replicas"] = flags.workers
                group["maxReplicas"] = max(flags.workers, group.get("maxReplicas", flags.workers))
                group["minReplicas"] = min(flags.workers, group.get("minReplicas", 0))
        sized = (
            ("worker-cpu", flags.worker_cpu, "cpu", self.workers),
            ("worker-memory", flags.worker_memory, "memory", self.workers),
            ("head-cpu", flags.head_cpu, "cpu", [self.head]),
            ("head-memory", flags.head_memory, "memory", [self.head]),
        )
        for flag, value, key, groups in sized:
            if value is not None and self.values.quantity(flag, value) is not None:
                for group in groups:
                    self._resource(group, key, value)
        if flags.gpus is not None:
            if flags.gpus < 0:
                self.problem("gpus", f"{flags.gpus} is negative", "0 or more")
            for group in self.workers:
                self._resource(group, _GPU, str(flags.gpus) if flags.gpus else None)

    def autoscaling(self, flags: Flags) -> None:
        """Whether Ray decides how many workers there are, and between which bounds."""
        changes = flags.autoscale is not None and flags.autoscale != bool(
            self.spec.get("enableInTreeAutoscaling")
        )
        if changes:
            self.spec["enableInTreeAutoscaling"] = flags.autoscale
            options: Json = self.spec.get("autoscalerOptions") or {}
            env = self._ray_containers()[0].get("env") or [] if self._ray_containers() else []
            if flags.autoscale and not any(one.get("name") == _AUTOSCALER for one in env):
                self.spec["autoscalerOptions"] = {"version": "v2", **options}
            if not flags.autoscale:
                self.spec.pop("autoscalerOptions", None)
        on = bool(self.spec.get("enableInTreeAutoscaling"))
        if (flags.least, flags.most) == (None, None) and not (flags.autoscale and changes):
            return
        if not on:
            self.problem(
                "min" if flags.least is not None else "max", "it has an effect with --autoscale only"
            )
            return
        if len(self.workers) != 1 and (flags.least, flags.most) == (None, None):
            return  # each group of the file has its own bounds
        group = self._only_group("min" if flags.least is not None else "max")
        if group is None:
            return
        least: int = group.get("minReplicas", 0) if flags.least is None else flags.least
        most: int = group.get("maxReplicas", max(least, _MOST)) if flags.most is None else flags.most
        if not 0 <= least <= most:
            self.problem("min", f"expected 0 or more and no more than --max {most}, got {least}")
            return
        group["minReplicas"], group["maxReplicas"] = least, most
        if flags.workers is None and flags.autoscale and changes:
            group["replicas"] = least

    def idle(self, flags: Flags) -> None:
        """When the cluster ends by itself, and whether its state stays."""
        if flags.idle is None and flags.idle_keeps_data is None:
            return
        before = idle_end_of(self.document)
        seconds: float | None = None
        if flags.idle == NEVER:
            pass
        elif flags.idle is None:
            seconds = before.seconds if before else None
        else:
            seconds = in_seconds(flags.idle)
            if seconds is None or seconds < LEAST_IDLE:
                what = f'"{flags.idle}" is not a time of {LEAST_IDLE} s or more'
                self.problem("idle", what, f"30m, 2h, or {NEVER}")
                return
        if seconds is None and flags.idle_keeps_data:
            self.problem("keep-data", "it has an effect with --idle only", "--idle 30m --keep-data")
            return
        (self.document["metadata"].get("annotations") or {}).pop(IDLE_ANNOTATION, None)
        self.spec.pop("idleTerminationOptions", None)
        if seconds is not None:
            keeps = (
                flags.idle_keeps_data if flags.idle_keeps_data is not None else before and before.keeps_data
            )
            policy = "Suspend" if keeps else "Delete"
            self.spec["idleTerminationOptions"] = {"timeoutSeconds": int(seconds), "policy": policy}

    def whole_node(self, flags: Flags) -> None:
        """Each Ray pod takes a whole node: allocatable less the reserve and the sidecars."""
        if flags.whole_node is None:
            if flags.reserve is not None:
                self.problem("reserve", "it only has an effect with --whole-node")
            return
        node, reserve = (
            self.values.pair("whole-node", flags.whole_node),
            self.values.pair("reserve", flags.reserve or "500m,1Gi"),
        )
        if node is None or reserve is None:
            return
        for what, group in [("head", self.head), *[(g.get("groupName", "worker"), g) for g in self.workers]]:
            side_cpu, side_memory = sidecars(group)
            cpu = int((node[0] - reserve[0] - side_cpu).to_integral_value(rounding=ROUND_FLOOR))
            memory = int(node[1] - reserve[1] - side_memory)
            memory -= memory % 2**20
            if cpu < 1 or memory < 2**30:
                self.problem(
                    "whole-node", f"nothing is left for {what} on {flags.whole_node}", "lower --reserve"
                )
                continue
            if what == "head" and memory < _HEAD_FLOOR:
                self.problem(
                    "whole-node",
                    f"the head gets {binary(memory)}, a production head needs 8Gi",
                    "a larger node",
                )
                continue
            self._resource(group, "cpu", str(cpu))
            self._resource(group, "memory", binary(memory))

    def pods(self, flags: Flags) -> None:
        """What every pod gets; typed twice, or again at the next `up`, it is there once."""
        env = [self.values.key_value("env", pair) for pair in flags.env]
        claims = [self.values.mount(text) for text in flags.mount]
        tolerations = [self.values.toleration(text) for text in flags.toleration]
        selectors = [self.values.label("node-selector", pair) for pair in flags.node_selector]
        labels = [self.values.label("label", pair) for pair in flags.label]
        for group in (self.head, *self.workers):
            template = group["template"]
            pod = template.setdefault("spec", {})
            ray = (pod.get("containers") or [{}])[0]
            for key, value in filter(None, env):
                add(ray, "env", {"name": key, "value": value}, unique="name")
            for secret in flags.env_from_secret:
                add(ray, "envFrom", {"secretRef": {"name": secret}})
            for claim, path in filter(None, claims):
                mount_claim(pod, ray, claim, path)
            for secret in flags.pull_secret:
                add(pod, "imagePullSecrets", {"name": secret})
            if flags.service_account:
                pod["serviceAccountName"] = flags.service_account
            for toleration in filter(None, tolerations):
                add(pod, "tolerations", dict(toleration))
            for key, value in filter(None, selectors):
                pod.setdefault("nodeSelector", {})[key] = value
            for key, value in filter(None, labels):
                template.setdefault("metadata", {}).setdefault("labels", {})[key] = value
        self._annotate(_REDIS_LABELS, [pair for pair in labels if pair])
        self._annotate(OBJECT_LABELS, [pair for pair in labels if pair and not steers(pair[0])])

    def storage(self, flags: Flags) -> None:
        annotations = self.document["metadata"].setdefault("annotations", {})
        if flags.redis_image:
            annotations["raystead.io/redis-image"] = flags.redis_image
        if flags.redis_memory and self.values.quantity("redis-memory", flags.redis_memory) is not None:
            annotations["raystead.io/redis-memory"] = flags.redis_memory
        if flags.redis_cpu and self.values.quantity("redis-cpu", flags.redis_cpu) is not None:
            annotations["raystead.io/redis-cpu"] = flags.redis_cpu
        kind = flags.storage or ("external" if flags.redis_address else None)
        given: Json = self.spec.get("gcsFaultToleranceOptions") or {}
        if kind in (None, "external"):
            self._redis(flags, given)
        elif flags.redis_address or flags.redis_password_secret:
            self.problem("redis-address", f"it has no effect with --storage {kind}", "--storage external")
        if kind is None:
            return
        if kind == "external":
            if not given.get("redisAddress"):
                self.problem("storage", "external needs an address", "--redis-address HOST:PORT")
            self.spec["gcsFaultToleranceOptions"] = given
        else:
            self.spec.pop("gcsFaultToleranceOptions", None)
            if kind == "rocksdb":
                self.spec["gcsFaultToleranceOptions"] = {"backend": "rocksdb"}
        annotations["raystead.io/storage"] = kind

    def allow(self, flags: Flags) -> None:
        """Who may connect from outside, in addition to those that might already."""
        if flags.allow_to and not flags.allow_from:
            self.problem("to", "it only has an effect with --allow-from")
        if not flags.allow_from:
            return
        annotations = self.document["metadata"].setdefault("annotations", {})
        try:
            text = with_peers(
                annotations.pop(ALLOW_ANNOTATION, ""), flags.allow_from, flags.allow_to or "dashboard"
            )
        except ValueError as error:
            self.problem("allow-from", str(error), "namespace=NS,pods=app=x --to dashboard")
            return
        if text:
            annotations[ALLOW_ANNOTATION] = text

    def _redis(self, flags: Flags, options: Json) -> None:
        """Somebody's Redis: its address, and the Secret that holds its password."""
        if flags.redis_address:
            host, _, port = flags.redis_address.rpartition("://")[2].rpartition(":")
            if not host or whole(port) is None:
                self.problem(
                    "redis-address", f'"{flags.redis_address}" is not HOST:PORT', "redis.example:6379"
                )
            options["redisAddress"] = flags.redis_address
            for field in ("backend", "storage"):
                options.pop(field, None)
        if flags.redis_password_secret:
            name, _, key = flags.redis_password_secret.partition(":")
            reference = {"name": name, "key": key or "password"}
            if not options.get("redisAddress"):
                self.problem("redis-password-secret", "it only has an effect with --redis-address")
            options["redisPassword"] = {"valueFrom": {"secretKeyRef": reference}}

    def _ray_containers(self) -> list[Json]:
        pods = [group["template"].get("spec", {}) for group in (self.head, *self.workers)]
        return [pod["containers"][0] for pod in pods if pod.get("containers")]

    def _only_group(self, flag: str) -> Json | None:
        if len(self.workers) != 1:
            self.problem(
                flag, f"the spec has {len(self.workers)} worker groups", "change replicas in the file"
            )
            return None
        return self.workers[0]

    def _resource(self, group: Json, key: str, value: str | None) -> None:
        """Sets a resource of the Ray container, requests and limits alike; None takes it away."""
        containers = group["template"].get("spec", {}).get("containers")
        if containers:
            resources = containers[0].setdefault("resources", {})
            for side in ("requests", "limits"):
                resources[side] = {**(resources.get(side) or {}), key: value}
                if value is None:
                    del resources[side][key]

    def _annotate(self, key: str, pairs: list[tuple[str, str]]) -> None:
        """`--label` for what has no place in the file: our own Redis' pod, and objects that are not pods."""
        if pairs:
            annotations = self.document["metadata"].setdefault("annotations", {})
            before = dict(p.split("=", 1) for p in annotations.get(key, "").split(",") if "=" in p)
            annotations[key] = ",".join(f"{k}={v}" for k, v in {**before, **dict(pairs)}.items())


def _version_in(image: str | None) -> str | None:
    """Ray's whole version, where the image's tag tells it: rayproject/ray:2.9.0-py39 -> 2.9.0."""
    version = image_version(image or "")
    return version if re.fullmatch(r"\d+\.\d+\.\d+", version) else None
