"""Where Ray's state will be, and what its loss costs; claims, Secrets and ConfigMaps that the pods name."""

from __future__ import annotations

from collections.abc import Iterator

from raystead.base.kinds import CLAIM
from raystead.doctor.images import registry
from raystead.doctor.model import Check, Observations, Pods, claims_of, unmade
from raystead.manifests.autoscaling import autoscales, steward_name
from raystead.manifests.context import TOKEN_KEY
from raystead.manifests.storage import PASSWORD_KEY, head_storage, storage_kind
from raystead.spec.model import Json

__all__ = ["check", "later", "named"]

Named = tuple[str, str]  # kind, name
_CHECKS = {"Secret": "secrets", "ConfigMap": "configmaps"}


def check(seen: Observations) -> Iterator[Check]:
    yield _state(seen)
    yield from (lacking for pods, lacking in _claims(seen) if pods.wanted)
    keys_of = _made_by_us(seen)
    for name, keys in seen.secrets.items():
        if keys is not None and name in keys_of and keys_of[name] not in keys:
            what = f"the Secret {name} is there and has no key {keys_of[name]}"
            remedy = f"add the key, or kubectl delete secret {name}: up makes it then"
            yield Check("secrets", "fail", what, f"secret/{name}: {', '.join(keys) or 'empty'}", remedy)
    for named, groups in _absent(seen):
        if not groups or any(pods.wanted for pods in groups):
            yield _lacking(seen, named, "pods that name it do not start")


def later(seen: Observations) -> Iterator[Check]:
    """What groups that have no pods yet mount or read, and nobody has made."""
    yield from (unmade(lacking, pods) for pods, lacking in _claims(seen) if not pods.wanted)
    for named, groups in _absent(seen):
        if not any(pods.wanted for pods in groups):
            yield from (unmade(_lacking(seen, named, "they do not start"), pods) for pods in groups[:1])


def named(spec: Json) -> list[Named]:
    """Secrets and ConfigMaps without which a pod of this spec does not start."""
    out: list[Named] = []

    def add(kind: str, source: Json | None, key: str = "name") -> None:
        if source and source.get(key) and not source.get("optional"):
            out.append((kind, str(source[key])))

    for entry in spec.get("imagePullSecrets") or []:
        add("Secret", entry)
    for volume in spec.get("volumes") or []:
        projected = (volume.get("projected") or {}).get("sources") or []
        add("Secret", volume.get("secret"), "secretName")
        add("ConfigMap", volume.get("configMap"))
        for source in projected:
            add("Secret", source.get("secret"))
            add("ConfigMap", source.get("configMap"))
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for entry in container.get("envFrom") or []:
            add("Secret", entry.get("secretRef"))
            add("ConfigMap", entry.get("configMapRef"))
        for entry in container.get("env") or []:
            add("Secret", (entry.get("valueFrom") or {}).get("secretKeyRef"))
            add("ConfigMap", (entry.get("valueFrom") or {}).get("configMapKeyRef"))
    return list(dict.fromkeys(out))


def _absent(seen: Observations) -> Iterator[tuple[Named, list[Pods]]]:
    """Secrets and ConfigMaps that are not there and nobody makes, with the groups that name them."""
    made = _made_by_us(seen)
    gone: list[Named] = [
        ("Secret", name) for name, keys in seen.secrets.items() if keys is None and name not in made
    ]
    gone += [("ConfigMap", name) for name in seen.configs_missing]
    for kind, name in gone:
        if name not in seen.brought(kind):
            yield (kind, name), [pods for pods in seen.groups if (kind, name) in named(pods.pod["spec"])]


def _lacking(seen: Observations, named: Named, so: str) -> Check:
    kind, name = named
    remedy = f"kubectl create secret generic {name} …"
    if kind == "ConfigMap":
        remedy = f"kubectl create configmap {name} …"
    elif server := _pulls_from(seen, name):
        so = "images that need its login cannot be pulled"
        remedy = f"kubectl create secret docker-registry {name} --docker-server={server} "
        remedy += "--docker-username=… --docker-password=…"
    what = f"the {kind} {name} is not there; {so}"
    return Check(_CHECKS[kind], "fail", what, f"{kind.lower()}/{name}: not found", remedy)


def _pulls_from(seen: Observations, secret: str) -> str:
    """The registry of the images that are pulled with this Secret; "" where it is no pull Secret."""
    specs = [pods.pod.get("spec") or {} for pods in seen.groups]
    pulling = [spec for spec in specs if {"name": secret} in (spec.get("imagePullSecrets") or [])]
    images = [
        str(container.get("image") or "") for spec in pulling for container in spec.get("containers") or []
    ]
    hosts = [host for image in images if (host := registry(image))]
    return hosts[0] if hosts else ("https://index.docker.io/v1/" if images else "")


def _state(seen: Observations) -> Check:
    kind = storage_kind(seen.cluster)
    if kind == "external":
        env = {e["name"]: e.get("value") for e in head_storage(seen.context).env}
        container = seen.cluster.spec.head.template.ray_container
        variables = {e.get("name"): e.get("value") for e in container.get("env") or []}
        where = (
            variables.get("RAY_REDIS_ADDRESS") or env.get("RAY_REDIS_ADDRESS") or "an address from elsewhere"
        )
        what = f"Redis at {where}: survives the head's loss; whether it answers is not known"
        return Check("state", "unknown", what, "only a pod can know", "raystead doctor --probe")
    if kind == "none":
        what = "none is kept: with the head all actors, jobs and workers' tasks are lost"
        return Check("state", "warn", what, "the spec names no storage", f"{seen.up} --storage redis")
    name = "Redis" if kind == "redis" else "RocksDB"
    if seen.facts.has_default_storage or seen.facts.storage_class:
        named = seen.facts.storage_class or seen.default_class or ""
        what = f"{name} on a volume{f' of StorageClass {named}' if named not in ('', '?') else ''}: "
        what += "survives the loss of the head" + (" and of Redis' pod" if kind == "redis" else "")
        return Check("state", "ok", what, "dry-run of a claim" if not seen.exists else "the cluster's anchor")
    if seen.default_class == "?":
        what = f"whether {name} gets a volume is not known"
        return Check("state", "unknown", what, seen.unread.get("default_class", ""), "raystead doctor --rbac")
    why, evidence = "no default StorageClass", "a dry-run of a claim without a class got none"
    remedy = 'send to the administrator: "please set a default StorageClass"'
    if seen.claim_refused:
        why, evidence = "the namespace refuses a claim", f"a dry-run: {seen.claim_refused}"
        remedy = "kubectl describe resourcequota,limitrange   shows what claims may have here"
    if kind == "rocksdb":
        what = f"{why}, and RocksDB needs a volume"
        return Check("state", "fail", what, evidence, f"{seen.up} --storage redis\nor {remedy}")
    lost = "if that pod is lost, so is every detached actor"
    what = f"{why}: Redis keeps its data in its pod alone; {lost}"
    return Check("state", "warn", what, evidence, remedy)


def _claims(seen: Observations) -> Iterator[tuple[Pods, Check]]:
    """Claims that the templates mount and nobody makes."""
    if seen.claims is None:
        return
    there = {claim["metadata"]["name"] for claim in seen.claims}
    there |= {item["metadata"]["name"] for item in seen.objects if item["kind"] == "PersistentVolumeClaim"}
    there |= seen.brought(CLAIM)
    there |= {claim for item in seen.objects for claim in claims_of(item).values()}
    for pods in seen.groups:
        for volume in (pods.pod.get("spec") or {}).get("volumes") or []:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name and name not in there:
                what = f"{pods.one} mounts the claim {name}, which is not there: it will stay Pending"
                evidence = f"persistentvolumeclaim/{name}: not found"
                yield pods, Check("state", "fail", what, evidence, "kubectl get pvc")


def _made_by_us(seen: Observations) -> dict[str, str]:
    """Secret -> the key that our pods read; `up` makes those that are not there."""
    auth, out = seen.cluster.spec.auth, {}
    if not (auth and auth.secret_name):
        out[seen.context.token_secret] = TOKEN_KEY
    out[seen.facts.redis_secret or seen.context.names.redis_secret] = PASSWORD_KEY
    if autoscales(seen.cluster):
        out[steward_name(seen.name)] = "token"
    return out
