"""The one short Job that finds out what only a pod can know, and what its answer means."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

from raystead.base import labels
from raystead.base.groups import HEAD
from raystead.doctor.model import Check, Observations
from raystead.explain import crashes, images, scheduling, storage
from raystead.explain.model import Finding, Snapshot
from raystead.explain.view import View
from raystead.manifests.security import SMALL, bounded, harden_as
from raystead.manifests.storage import PASSWORD_FILE, storage_kind
from raystead.spec.model import Json

__all__ = ["PREFIX", "answered", "job", "policies", "stuck", "untellable"]

PREFIX = "raystead-probe-"
_KEEP_SECONDS = 60  # the server removes it by itself when we were killed
_MADE_BY = {"app.kubernetes.io/managed-by": "raystead"}
_DNS = "kubernetes.default.svc"
_EGRESS = ("pypi.org", 443)  # what a runtime_env with pip needs
_MINE = ("containers", "initContainers", "volumes", "restartPolicy", "terminationGracePeriodSeconds")
_KEPT = ("image", "imagePullPolicy", "env", "resources", "securityContext")
_FILES = ("RAY_REDIS_CA_CERT", "RAY_REDIS_CLIENT_CERT", "RAY_REDIS_CLIENT_KEY")
_REDIS = ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", *_FILES)
# Standard library of any Python 3. What it finds is its termination message: no right to read logs is needed.
_SCRIPT = f"""\
import json, os, platform, socket, ssl, time
out = {{"python": platform.python_version(), "ray": None}}
try:
    from importlib import metadata
    out["ray"] = metadata.version("ray")
except Exception as error:
    out["ray_error"] = str(error)
def tried(name, what, times):
    for left in reversed(range(times)):  # a new pod's network and policies take a moment
        begun = time.monotonic()
        try:
            out[name] = {{"ok": True, "said": what() or ""}}
        except Exception as error:
            out[name] = {{"ok": False, "said": (type(error).__name__ + ": " + str(error))[:300]}}
        out[name]["seconds"] = round(time.monotonic() - begun, 3)
        if out[name]["ok"] or not left or out[name]["said"].startswith("RuntimeError"):
            return
        time.sleep(1)
def resolve():
    return socket.getaddrinfo("{_DNS}", 443)[0][4][0]
def connect():
    socket.create_connection(("{_EGRESS[0]}", {_EGRESS[1]}), 5).close()
def redis():
    said = os.environ["RAY_REDIS_ADDRESS"].split(",")[0]
    host, _, port = said.split("://")[-1].rpartition(":")
    path = "{PASSWORD_FILE}"
    word = open(path).read().rstrip("\\n") if os.path.exists(path) else os.environ.get("REDIS_PASSWORD", "")
    user = os.environ.get("REDIS_USERNAME", "")
    link = socket.create_connection((host, int(port)), 5)
    if said.startswith("rediss://"):
        context = ssl.create_default_context(cafile=os.environ.get("RAY_REDIS_CA_CERT") or None)
        if os.environ.get("RAY_REDIS_CLIENT_CERT"):
            key = os.environ.get("RAY_REDIS_CLIENT_KEY")
            context.load_cert_chain(os.environ["RAY_REDIS_CLIENT_CERT"], key)
        context.check_hostname = False  # Ray does not check it either
        link = context.wrap_socket(link, server_hostname=host)
    link.settimeout(5)
    def ask(*words):
        parts = [str(part).encode() for part in words]
        link.sendall(b"*%d\\r\\n" % len(parts) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(p), p) for p in parts))
        answer = link.recv(4096).decode(errors="replace").strip()
        if answer.startswith("-"):
            raise RuntimeError(answer[1:])
        return answer
    if word:
        ask("AUTH", *([user] if user else []), word)
    return ask("PING")
time.sleep(2)  # until its policies hold all would seem open
tried("dns", resolve, 5)
tried("egress", connect, 1)
if os.environ.get("RAY_REDIS_ADDRESS"):
    tried("redis", redis, 3)
with open("/dev/termination-log", "w") as stream:
    json.dump(out, stream)
"""


def job(seen: Observations, name: str, seconds: int) -> Json:
    """A Job of one pod with a worker's image, size, place and labels; the head's where Redis is not ours.

    `seconds`: when the server ends it.
    """
    template = _template(seen)
    ray = template["spec"]["containers"][0]
    container = {key: copy.deepcopy(ray[key]) for key in _KEPT if key in ray}
    container |= {
        "name": "probe",
        "command": ["/bin/bash", "-c", 'exec "$(command -v python || command -v python3)" -c "$0"', _SCRIPT],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": [entry for entry in container.get("env") or [] if entry["name"] in _REDIS],
    }
    spec = {key: value for key, value in template["spec"].items() if key not in _MINE}
    spec |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    if _with_redis(seen):
        container["volumeMounts"] = _mounts(ray)
        used = {mount["name"] for mount in container["volumeMounts"]}
        spec["volumes"] = [volume for volume in template["spec"]["volumes"] if volume["name"] in used]
    spec["containers"] = [bounded(container, SMALL)]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(_MADE_BY)},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": _KEEP_SECONDS,
            "template": {
                "metadata": {"labels": {**_MADE_BY, **_labels(seen, template)}},
                "spec": harden_as(seen.cluster, seen.facts, spec),
            },
        },
    }


def policies(seen: Observations, name: str, uid: str) -> list[Json]:
    """The egress policies that `up` would add for such a pod, while the probe lasts; the Job owns them."""
    found = _template(seen)["metadata"]["labels"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "blockOwnerDeletion": False}
    out: list[Json] = []
    for item in seen.objects:
        spec = item["spec"] if item["kind"] == "NetworkPolicy" else {}
        if "Egress" in (spec.get("policyTypes") or ()) and labels.matches(spec.get("podSelector"), found):
            chosen = {"podSelector": {"matchLabels": {"job-name": name}}, "policyTypes": ["Egress"]}
            metadata = {"name": f"{name}-{len(out)}", "ownerReferences": [owner]}
            kind = {"apiVersion": item["apiVersion"], "kind": "NetworkPolicy", "metadata": metadata}
            out.append({**kind, "spec": {**chosen, "egress": spec["egress"]}})
    return out


def untellable(seen: Observations) -> str:
    """Why Redis' answer cannot be had by a probe, a clause; "" when it can, or when there is none to ask."""
    if storage_kind(seen.cluster) != "external" or _with_redis(seen):
        return ""
    return "the Secret with Redis' password is made by `up`: until then nothing can log in"


def answered(seen: Observations, message: str, pulled: float | None) -> Iterator[Check]:
    """The checks of a probe that ran; `pulled`: seconds that pulling the image took, None: it was there."""
    try:
        answer = json.loads(message)
    except ValueError:
        what = "the probe ended without an answer"
        yield Check("probe", "fail", what, message[-300:], "try the image by hand: kubectl run --image …")
        return
    image = _template(seen)["spec"]["containers"][0]["image"]
    took = "was on the node" if pulled is None else f"pulled in {pulled:.0f} s"
    yield Check("image", "ok", f"{image} {took}", "probe")
    yield _versions(seen, answer)
    dns, egress, redis = answer["dns"], answer["egress"], answer.get("redis")
    if dns["ok"]:
        yield Check("dns", "ok", f"{_DNS} is {dns['said']}, {dns['seconds'] * 1000:.0f} ms", "probe")
    else:
        what = "names do not resolve in pods here: workers will not find the head"
        remedy = (
            f'send to the administrator: "pods of namespace {seen.facts.namespace} cannot resolve names: '
        )
        yield Check("dns", "fail", what, dns["said"], f'{remedy}{dns["said"]}"')
    if redis:
        yield _redis(redis)
    host = ":".join(map(str, _EGRESS))
    if egress["ok"]:
        yield Check("egress", "ok", f"{host} can be reached", "probe")
    else:
        what = f"{host} cannot be reached: a runtime_env that installs packages will not work"
        remedy = "put what your program needs into the image, or name a mirror that can be reached"
        if seen.facts.isolated:
            remedy = (
                "egress is restricted here: open it with networkPolicy egressRules in the file, or " + remedy
            )
        yield Check("egress", "warn", what, egress["said"], remedy)


def stuck(seen: Observations, pod: Json, events: tuple[Json, ...], now: str) -> Check | None:
    """Why the probe's pod does not run, by the rules of explain; None when nothing is wrong with it yet."""
    from datetime import datetime

    metadata = {**pod["metadata"], "labels": _template(seen)["metadata"]["labels"]}
    snapshot = Snapshot(
        cluster=seen.cluster,
        namespace=seen.facts.namespace or "",
        name=seen.name,
        now=datetime.fromisoformat(now),
        pods=({**pod, "metadata": metadata},),
        events=events,
        claims=seen.claims,
    )
    view = View(snapshot)
    found: list[Finding] = [f for rule in (storage, scheduling, images, crashes) for f in rule.find(view)]
    if not found:
        return None
    first = found[0]
    name = "image" if first.cause in {cause.slug for cause in images.CAUSES} else "probe"
    evidence = first.evidence[0].text if first.evidence else ""
    return Check(name, "fail", first.why, evidence, first.remedy)


def _template(seen: Observations) -> Json:
    """The head's where Redis is somebody else's (its policies let it through), else the first worker's."""
    makers = {pods.group: pods.maker for pods in seen.groups}
    workers = [group for group in makers if group.is_worker]
    alone = storage_kind(seen.cluster) == "external" or not workers
    return makers[HEAD if alone else workers[0]].template


def _labels(seen: Observations, template: Json) -> dict[str, str]:
    """Those by which our policies choose such a pod, and no more: it is not a node of the cluster.

    None next to a running cluster: its head's Service would send Ray's traffic to the probe.
    """
    if seen.exists:
        return {}
    found = template["metadata"]["labels"]
    keys: set[str] = set()
    for item in seen.objects:
        if item["kind"] == "NetworkPolicy":
            term = item["spec"].get("podSelector")
            if labels.matches(term, found):
                keys |= set((term or {}).get("matchLabels") or {})
    kept = {key: found[key] for key in sorted(keys)}
    return {**kept, labels.OURS: seen.name} if labels.CLUSTER in kept else kept


def _with_redis(seen: Observations) -> bool:
    """Redis is somebody else's, and the Secret with its password, if it has one, is there."""
    if storage_kind(seen.cluster) != "external":
        return False
    volumes = _template(seen)["spec"].get("volumes") or []
    named = [v["secret"]["secretName"] for v in volumes if v["name"] == "redis-password"]
    return all(seen.secrets.get(name) is not None for name in named)


def _mounts(ray: Json) -> list[Json]:
    """Those of Redis' password and of the certificates that its address needs."""
    files = [str(e.get("value")) for e in ray.get("env") or [] if e["name"] in _FILES]
    needed = [PASSWORD_FILE, *files]
    return [m for m in ray["volumeMounts"] if any(f.startswith(f"{m['mountPath']}/") for f in needed)]


def _versions(seen: Observations, answer: Json) -> Check:
    """Ray and Python in the image against the spec's and the client's."""
    here = f"the image has Ray {answer['ray']}, Python {answer['python']}"
    if not answer["ray"]:
        return Check(
            "ray", "fail", "the image has no Ray", answer.get("ray_error", ""), f"{seen.up} --image IMAGE"
        )
    wanted, client = seen.cluster.spec.ray_version, seen.client
    if wanted and wanted != answer["ray"]:
        remedy = f"{seen.up} --ray-version {answer['ray']}"
        return Check("ray", "warn", f"{here}; the spec says Ray {wanted}", "probe", remedy)
    if client.ray and (
        client.ray != answer["ray"] or (client.python or "").split(".")[:2] != answer["python"].split(".")[:2]
    ):
        what = (
            f'{here}; your python {client.python} has Ray {client.ray}: submit works, ray.init("ray://…") not'
        )
        return Check("ray", "warn", what, client.path, f'pip install "ray[default]=={answer["ray"]}"')
    return Check("ray", "ok", here, "probe")


def _redis(answer: Json) -> Check:
    if answer["ok"]:
        return Check(
            "state", "ok", f"Redis answers {answer['said'].lstrip('+')} in {answer['seconds'] * 1000:.0f} ms"
        )
    words = answer["said"]
    if "CERTIFICATE_VERIFY_FAILED" in words:
        remedy = "RAY_REDIS_CA_CERT in the head's env names the file of its authority"
        return Check("state", "fail", "Redis' certificate is not trusted", words, remedy)
    if "WRONGPASS" in words or "NOAUTH" in words or "invalid password" in words:
        return Check(
            "state", "fail", "Redis refuses the password", words, "put the right one into the Secret"
        )
    what = "Redis does not answer: the head would not start"
    return Check("state", "fail", what, words, "check the address, and the policies on its side")
