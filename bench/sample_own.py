"""What the authors of KubeRay's samples meant beside what stands in their files, by the file's name."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from kube import until
from sample_checks import Check, Finding, Subject, judged

__all__ = ["own_check"]


def own_check(file: str) -> Check:
    return _OWN.get(file, _nothing)


def _nothing(subject: Subject) -> Iterator[Finding]:
    yield from ()


def _token(subject: Subject) -> Iterator[Finding]:
    """The dashboard asks for the token, and takes the one in the Secret."""
    ask = (
        "import sys,urllib.request,urllib.error\n"
        "h={'Authorization':'Bearer '+sys.argv[1]} if sys.argv[1] else {}\n"
        "r=urllib.request.Request('http://127.0.0.1:8265/api/v0/nodes',headers=h)\n"
        "try: print(urllib.request.urlopen(r,timeout=20).status)\n"
        "except urllib.error.HTTPError as e: print(e.code)\n"
    )
    options = subject.cluster["spec"].get("authOptions") or {}
    secret = subject.kube.get("secret", options.get("secretName", subject.name))
    token = base64.b64decode(secret["data"]["auth_token"]).decode()
    container = subject.cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["name"]
    for given, wanted in (("", "401"), ("wrong", "403"), (token, "200")):
        status = subject.inside(subject.head, "python", "-c", ask, given, container=container).strip()
        right = status == wanted or (given == "wrong" and status == "401")
        yield judged("the token", right, f"the dashboard answers {status}, not {wanted}")


def _ptrace(subject: Subject) -> Iterator[Finding]:
    """The container may trace, and `sudo` is not forbidden to it."""
    said = subject.inside(subject.head, "cat", "/proc/1/status")
    bounds = int(re.findall(r"CapBnd:\s*(\w+)", said)[0], 16)
    yield judged("SYS_PTRACE", bool(bounds & (1 << 19)), "the container has no SYS_PTRACE")
    yield judged("sudo", "NoNewPrivs:\t0" in said, "no-new-privileges is set, so sudo cannot work")


def _events(subject: Subject) -> Iterator[Finding]:
    """The head's own ServiceAccount reads the namespace's events."""
    ask = (
        "import ssl,urllib.request\n"
        "d='/var/run/secrets/kubernetes.io/serviceaccount/'\n"
        "u='https://kubernetes.default.svc/api/v1/namespaces/'+open(d+'namespace').read()+'/events'\n"
        "r=urllib.request.Request(u,headers={'Authorization':'Bearer '+open(d+'token').read()})\n"
        "print(urllib.request.urlopen(r,timeout=20,context=ssl.create_default_context(cafile=d+'ca.crt')).status)\n"
    )
    status = subject.inside(subject.head, "python", "-c", ask).strip()
    yield judged("the head reads events", status == "200", f"events answer {status}")


def _tls(subject: Subject) -> Iterator[Finding]:
    """The GCS shows a certificate that the file's authority signed."""
    ask = (
        "import socket,ssl\n"
        "c=ssl.create_default_context(cafile='/etc/ca/tls/ca.crt'); c.check_hostname=False\n"
        "print(c.wrap_socket(socket.create_connection(('127.0.0.1',6379),5)).version())\n"
    )
    version = subject.inside(subject.head, "python", "-c", ask).strip()
    yield judged("the GCS speaks TLS", version.startswith("TLS"), f"the GCS speaks {version}")


def _labelled(subject: Subject) -> Iterator[Finding]:
    """The author's own task finds the node with its labels."""
    subject.inside(subject.head, "python", "/home/ray/samples/example_task.py", timeout=240)
    yield Finding("example_task.py")


def _counter(subject: Subject) -> Iterator[Finding]:
    """The author's own programs, in their order."""
    subject.inside(subject.head, "python", "/home/ray/samples/detached_actor.py", timeout=240)
    said = subject.inside(subject.head, "python", "/home/ray/samples/increment_counter.py", timeout=240)
    yield judged("increment_counter.py", said.strip().endswith("1"), f"it prints {said.strip()[-80:]}")


def _scaled(subject: Subject) -> Iterator[Finding]:
    """The author's own detached actor brings a worker."""
    subject.inside(subject.head, "python", "/home/ray/samples/detached_actor.py", "one", timeout=240)
    until(lambda: subject.pods("small-group"), 120, "a worker comes for the actor", every=1)
    yield Finding("detached_actor.py brings a worker")


_OWN: dict[str, Check] = {
    "ray-cluster-label-selector.yaml": _labelled,
    "ray-cluster.auth-manual.yaml": _token,
    "ray-cluster.auth.secret-ref.yaml": _token,
    "ray-cluster.auth.yaml": _token,
    "ray-cluster.autoscaler-v2.yaml": _scaled,
    "ray-cluster.autoscaler.yaml": _scaled,
    "ray-cluster.deprecate-gcs-ft.yaml": _counter,
    "ray-cluster.external-redis-uri.yaml": _counter,
    "ray-cluster.external-redis.yaml": _counter,
    "ray-cluster.platform-events.yaml": _events,
    "ray-cluster.py-spy.yaml": _ptrace,
    "ray-cluster.tls.yaml": _tls,
}
