"""Volumes: claims that do not bind, volumes that do not mount, missing Secrets and ConfigMaps."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raystead.base.times import when
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View, event_evidence
from raystead.live.events import KubeEvent
from raystead.live.pods import Pod
from raystead.live.reading import changed, dig, meta
from raystead.spec.model import Json

__all__ = ["CAUSES", "find"]

CLAIM_SECONDS = 60  # a cloud's provisioner needs seconds; CSI's own time-out for one call is 10-60 s

NO_CLASS = Cause(
    "claim-no-class",
    "A claim names no StorageClass and the cluster has no default",
    "claim {claim} gets no volume: it names no StorageClass and the cluster has no default one",
    "the pod waits for the volume for ever",
    "{up} --storage none      the head's state is then lost with the head\n"
    'or send to the administrator: "which StorageClass may namespace {namespace} use? there is no '
    'default one"',
    "The claim is Pending, has no storageClassName, and its event is FailedBinding (`no storage class is "
    "set`).",
)
CLASS_MISSING = Cause(
    "claim-class-missing",
    "A claim names a StorageClass that does not exist",
    "claim {claim} gets no volume: StorageClass {storage_class} does not exist",
    "the pod waits for the volume for ever; a claim's class cannot be changed, it must be created again",
    "kubectl delete pvc {claim}, then {up} with a StorageClass that exists (kubectl get storageclass)",
    "The claim is Pending and ProvisioningFailed says `storageclass … not found`.",
)
PROVISION = Cause(
    "claim-not-provisioned",
    "The claim's volume cannot be made",
    "claim {claim} gets no volume: {said}",
    "the provisioner of class {storage_class} fails; the pod waits",
    'send to the administrator: "claim {claim} in namespace {namespace} (class {storage_class}): {said}"',
    "The claim is Pending and its newest event is ProvisioningFailed.",
)
PENDING = Cause(
    "claim-pending",
    "A claim is still without a volume",
    "claim {claim} has had no volume for {seconds} s (class {storage_class})",
    "nobody has made its volume yet, and nobody has said why: its provisioner may not be running",
    'send to the administrator: "claim {claim} in namespace {namespace} stays Pending: does the '
    'provisioner of class {storage_class} run?"',
    "The claim has been Pending for more than 60 s (a provisioner needs seconds), it does not wait for "
    "its first pod, and no event names a fault.",
    confidence="likely",
)
LOST = Cause(
    "claim-lost",
    "The volume behind a claim is gone",
    "claim {claim} has lost its volume {volume}",
    "what was stored on it is gone, or out of reach; the pod cannot start",
    'send to the administrator: "volume {volume} of claim {claim} in namespace {namespace} is gone: can '
    'it be restored?"\n'
    "or begin with empty state: kubectl delete pvc {claim}, then {up}",
    "The claim's phase is Lost.",
)
CLAIM_MISSING = Cause(
    "claim-missing",
    "A pod wants a claim that does not exist",
    "claim {claim} does not exist",
    "the pod waits until somebody makes the claim",
    "{up}      makes the claims that are ours; make your own with kubectl, or name another in the file",
    "The pod is not scheduled, its spec names the claim, and the claims that were read do not have it.",
)
ATTACHED = Cause(
    "volume-attached-elsewhere",
    "A volume is still attached to another node",
    "volume of the pod is still attached to another node",
    "a ReadWriteOnce volume is on one node at a time; after a node's loss Kubernetes waits 6 min before "
    "it takes the volume away",
    "wait up to 6 min\n"
    'or send to the administrator: "volume in namespace {namespace} is stuck on a lost node: {said}"',
    "Event FailedAttachVolume with `Multi-Attach error` (the 6 minutes are Kubernetes' "
    "maxWaitForUnmountDuration).",
)
SECRET = Cause(
    "secret-missing",
    "A Secret or ConfigMap that the pod needs does not exist",
    "{thing} does not exist",
    "the container starts as soon as it is there",
    "{make}",
    "Container state CreateContainerConfigError, or event FailedMount, with `secret … not found` or "
    "`configmap … not found`; held back while the object's absence is younger than 5 s (our own are made "
    "in the same `up`).",
)
KEY = Cause(
    "secret-key-missing",
    "A Secret or ConfigMap lacks a key that the pod needs",
    "{thing} has no key {key}",
    "the container starts as soon as the key is there",
    "kubectl edit {kind} {name}      and add the key {key}",
    "Container state CreateContainerConfigError (`couldn't find key`), or event FailedMount (`references "
    "non-existent secret key`).",
)
MOUNT = Cause(
    "volume-not-mounted",
    "A volume cannot be mounted",
    "the pod's volume cannot be mounted: {said}",
    "the containers start when the node has mounted it; the kubelet tries again by itself",
    'send to the administrator: "pod {pod} in namespace {namespace} cannot mount its volume: {said}"',
    "Event FailedMount or FailedAttachVolume of the last 3 minutes with another text, and the pod has "
    "been on its node for more than 20 s.",
    confidence="likely",
)
CAUSES = (
    NO_CLASS, CLASS_MISSING, PROVISION, PENDING, LOST, CLAIM_MISSING, ATTACHED, SECRET, KEY, MOUNT,
)  # fmt: skip

_MISSING = re.compile(r'(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
_NO_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) [^/]+/(\S+)")
_NO_FILE = re.compile(r"references non-existent (secret|config) key: (\S+)")
_FRESH = 5.0
_MOUNT_FRESH = 180.0  # the kubelet tries again at least every 2 min 2 s


def find(view: View) -> Iterator[Finding]:
    for group in view.groups:
        for pod in group.live:
            if pod.ready:
                continue
            found = _claims(view, pod) or _config(view, pod) or _mounts(view, pod)
            if found:
                yield found


def _claims(view: View, pod: Pod) -> Finding | None:
    if view.snapshot.claims is None or any(c.running_since for c in pod.containers):
        return None
    for volume in pod.spec.get("volumes") or []:
        name = dig(volume, "persistentVolumeClaim", "claimName")
        if name and (found := _claim(view, pod, str(name))):
            return found
    return None


def _claim(view: View, pod: Pod, name: str) -> Finding | None:
    claim = view.claim(name)
    values = {"claim": name, "up": view.up, "namespace": view.snapshot.namespace}
    if claim is None:
        if pod.node or view.age(pod.created) < _FRESH:
            return None
        evidence = [Evidence(f"no claim {name} in the namespace", pod.subject, pod.created)]
        return CLAIM_MISSING.found(Sighting(pod.group, pod.subject, evidence, pod.created), **values)
    subject, phase = f"claim/{name}", dig(claim, "status", "phase")
    since = when(meta(claim, "creationTimestamp"))
    values["storage_class"] = str(dig(claim, "spec", "storageClassName") or "(none)")
    if phase == "Lost":
        volume = str(dig(claim, "spec", "volumeName") or "")
        return LOST.found(
            Sighting(pod.group, subject, [Evidence("phase Lost", subject)]), volume=volume, **values
        )
    if phase == "Pending":
        return _pending(view, pod, claim, subject, values | {"since": since})
    return None


def _pending(view: View, pod: Pod, claim: Json, subject: str, values: dict[str, object]) -> Finding | None:
    events = view.events("PersistentVolumeClaim", claim)
    last = events[-1] if events else None
    faults = [e for e in events if e.reason in ("FailedBinding", "ProvisioningFailed")]
    arguments = {k: v for k, v in values.items() if k != "since"}
    since = changed(claim)
    if faults and last and last.reason in ("FailedBinding", "ProvisioningFailed"):
        message = last.message
        if "no storage class is set" in message:
            return NO_CLASS.found(Sighting(pod.group, subject, [event_evidence(last)], since), **arguments)
        if re.search(r"storageclass\S* \S+ not found", message):
            return CLASS_MISSING.found(
                Sighting(pod.group, subject, [event_evidence(last)], since), **arguments
            )
        return PROVISION.found(
            Sighting(pod.group, subject, [event_evidence(last)], since), said=message, **arguments
        )
    if last and last.reason == "WaitForFirstConsumer" and not pod.node:
        return None  # it waits for the pod: if the pod waits too, the scheduler says for what
    begin = when(meta(claim, "creationTimestamp"))
    if (seconds := view.age(begin)) < CLAIM_SECONDS:
        return None
    shown = event_evidence(last) if last else Evidence("phase Pending", subject, begin)
    return PENDING.found(Sighting(pod.group, subject, [shown], begin), seconds=round(seconds), **arguments)


def _config(view: View, pod: Pod) -> Finding | None:
    """References in `env`: the container waits with CreateContainerConfigError."""
    for container in pod.containers:
        if container.waiting == "CreateContainerConfigError":
            evidence = [Evidence(container.message, pod.subject, view.now)]
            if match := _MISSING.search(container.message):
                return _missing(view, pod, match.group(1), match.group(2), evidence)
            if match := _NO_KEY.search(container.message):
                key, kind, name = match.groups()
                words = {"thing": f"{kind} {name}", "key": key, "kind": kind.lower(), "name": name}
                return KEY.found(Sighting(pod.group, pod.subject, evidence, pod.since("Ready")), **words)
    return None


def _mounts(view: View, pod: Pod) -> Finding | None:
    if not pod.node or any(c.running_since or c.ended for c in pod.containers):
        return None
    event = view.last_event(pod, "FailedMount", "FailedAttachVolume")
    if event is None or view.age(event.last) > _MOUNT_FRESH:
        return None
    message, values = event.message, {"namespace": view.snapshot.namespace}
    if match := _MISSING.search(message):
        return _missing(view, pod, match.group(1), match.group(2), [event_evidence(event)])
    if match := _NO_FILE.search(message):
        return _no_file(pod, event, match.group(2))
    if "Multi-Attach error" in message:
        return ATTACHED.found(
            Sighting(pod.group, pod.subject, [event_evidence(event)], event.first), said=message, **values
        )
    if view.age(pod.since("PodScheduled")) < 20 or "failed to sync" in message:
        return None  # the kubelet has not read the Secrets of a new pod yet; it does within a second
    return MOUNT.found(
        Sighting(pod.group, pod.subject, [event_evidence(event)], event.first),
        said=message,
        pod=pod.name,
        **values,
    )


def _missing(view: View, pod: Pod, kind: str, name: str, evidence: list[Evidence]) -> Finding | None:
    if view.age(pod.created) < _FRESH:
        return None
    kind = {"secret": "Secret", "configmap": "ConfigMap"}[kind.lower()]
    context = view.context
    ours = context and name in (
        context.names.token_secret, context.names.redis_secret, context.names.redis_config,
    )  # fmt: skip
    make = f"{view.up}      makes it again"
    if not ours:
        command = "generic " if kind == "Secret" else ""
        create = f"kubectl create {kind.lower()} {command}{name} --from-literal=KEY=VALUE"
        make = f"{create}\nor name another in the file"
    return SECRET.found(
        Sighting(pod.group, pod.subject, evidence, pod.created), thing=f"{kind} {name}", make=make
    )


def _no_file(pod: Pod, event: KubeEvent, key: str) -> Finding:
    """The event names the volume, the pod's spec says which Secret or ConfigMap that is."""
    match = re.search(r'for volume "([^"]+)"', event.message)
    volume: Json = next(
        (v for v in pod.spec.get("volumes") or [] if match and v.get("name") == match.group(1)), {}
    )
    secret = dig(volume, "secret", "secretName")
    name = str(secret or dig(volume, "configMap", "name") or "NAME")
    kind = "Secret" if secret or "secret" in event.message else "ConfigMap"
    words = {"thing": f"{kind} {name}", "key": key, "kind": kind.lower(), "name": name}
    return KEY.found(Sighting(pod.group, pod.subject, [event_evidence(event)], event.first), **words)
