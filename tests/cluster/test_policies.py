"""Network policies are enforced here, or no policy test of the product would prove anything."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import DENY_ALL
from kube import Kube, pod, until

pytestmark = pytest.mark.cluster
IMAGE = "rayproject/ray:2.60.0"
SERVE = """
import http.server as h, threading as t
for port in (8080, 8081, 8082):
    t.Thread(target=h.ThreadingHTTPServer(("", port), h.SimpleHTTPRequestHandler).serve_forever).start()
"""
DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def server(name: str = "server") -> dict[str, object]:
    ports = [{"name": "web", "containerPort": 8081}]
    return pod(name, IMAGE, ["python3", "-c", SERVE], ports=ports)


def policy(name: str, **spec: object) -> dict[str, object]:
    spec = {"podSelector": {}} | spec
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def reaches(kube: Kube, source: str, host: str, port: int) -> bool:
    return "yes" in kube.exec(source, "sh", "-c", f"nc -z -w 1 {host} {port} && echo yes || true")


def pair(kube: Kube) -> str:
    kube.apply(server(), pod("client", IMAGE, ["sleep", "3600"]))
    kube.run("wait", "--for=condition=Ready", "pod/server", "pod/client", "--timeout=60s")
    ip = str(kube.get("pod", "server")["status"]["podIP"])
    until(lambda: reaches(kube, "client", ip, 8080), 20, "the server serves")
    return ip


def test_policies_open_and_close_ports(own_cluster: Path, namespace) -> None:
    kube = namespace()
    ip = pair(kube)
    assert reaches(kube, "client", ip, 8081)

    kube.apply(policy("one", policyTypes=["Ingress"], ingress=[{"ports": [{"port": 8080}]}]))
    until(lambda: not reaches(kube, "client", ip, 8081), 10, "8081 is closed")
    assert reaches(kube, "client", ip, 8080)

    client = {"podSelector": {"matchLabels": {"app": "client"}}}
    kube.apply(
        policy("one", policyTypes=["Ingress"], ingress=[{"from": [client], "ports": [{"port": "web"}]}])
    )
    until(lambda: reaches(kube, "client", ip, 8081), 10, "the named port is open")
    until(lambda: not reaches(kube, "client", ip, 8080), 10, "8080 is closed")

    kube.apply(policy("one", policyTypes=["Ingress"], ingress=[{"ports": [{"port": 8081, "endPort": 8082}]}]))
    until(lambda: reaches(kube, "client", ip, 8082), 10, "the range is open")
    assert not reaches(kube, "client", ip, 8080)

    kube.run("delete", "networkpolicy", "one")
    until(lambda: reaches(kube, "client", ip, 8080), 10, "all is open again")


def test_default_deny_both_ways_and_between_namespaces(own_cluster: Path, namespace) -> None:
    kube, other = namespace(), namespace()
    ip, _ = pair(kube), pair(other)
    assert reaches(other, "client", ip, 8080)
    assert reaches(kube, "client", "kubernetes.default.svc.cluster.local", 443)

    kube.apply(DENY_ALL)
    until(lambda: not reaches(kube, "client", ip, 8080), 10, "pods of the namespace are apart")
    assert not reaches(other, "client", ip, 8080)
    assert not reaches(kube, "client", "10.96.0.1", 443), "the API server is outside too"

    kube.apply(policy("dns", policyTypes=["Egress"], egress=[DNS]))
    until(
        lambda: "10.96.0.1" in kube.exec("client", "getent", "hosts", "kubernetes.default.svc.cluster.local"),
        10,
        "DNS",
    )

    named = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": other.namespace}}}
    kube.apply(policy("in", policyTypes=["Ingress"], ingress=[{"from": [named]}]))
    until(lambda: reaches(other, "client", ip, 8080), 10, "the other namespace may enter")
    assert not reaches(kube, "client", ip, 8080), "the client's own egress is still closed"


HOLD = """
import os, socket, sys, time
s = socket.create_connection((sys.argv[1], 8080)); open("/tmp/open", "w").close()
while not os.path.exists("/tmp/closed"): time.sleep(0.1)
s.settimeout(5); s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n"); print(s.recv(15).decode())
"""


def test_an_established_connection_survives_a_closing_policy(own_cluster: Path, namespace) -> None:
    kube = namespace()
    ip = pair(kube)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(kube.exec, "client", "python3", "-c", HOLD, ip)
        until(lambda: kube.exec("client", "ls", "/tmp/open", check=False), 20, "it is connected")
        kube.apply(DENY_ALL)
        try:
            until(lambda: not reaches(kube, "client", ip, 8080), 10, "closed to new connections")
        finally:
            kube.exec("client", "touch", "/tmp/closed")
        assert "200" in held.result()


def test_probes_pass_a_default_deny(own_cluster: Path, namespace) -> None:
    kube = namespace()
    ready = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    kube.apply(pod("probed", IMAGE, ["python3", "-c", SERVE], readinessProbe=ready), DENY_ALL)
    kube.run("wait", "--for=condition=Ready", "pod/probed", "--timeout=60s")
    time.sleep(3)
    status = {c["type"]: c["status"] for c in kube.get("pod", "probed")["status"]["conditions"]}
    assert status["Ready"] == "True", "kubelet's probe passes a default-deny"
