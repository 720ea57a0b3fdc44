"""Ray's own KubeRay provider (v1 and v2) against the façade: it reads, scales up, names who goes, and gets no more."""

from __future__ import annotations

import datetime
import itertools
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from raystead.incluster.facade import PodRefusal, SeenPods, SharedState, server
from raystead.incluster.relay import Relay

SECRET = "façade".encode().hex()
CONTAINER = {"name": "ray", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
DOCUMENT = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "demo", "namespace": "ns"},
    "spec": {
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [CONTAINER]}}},
        "workerGroupSpecs": [{"groupName": "small", "template": {"spec": {"containers": [CONTAINER]}}}],
    },
}


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "tls.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class Client:
    """What Ray's provider uses to speak HTTP, pointed at the façade."""

    def __init__(self, port: int, cert: Path, secret: str = SECRET) -> None:
        self._base, self._secret = f"https://localhost:{port}", secret
        self._tls = ssl.create_default_context(cafile=str(cert))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        request.add_header("Authorization", f"Bearer {self._secret}")
        with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:
            return json.load(answer)

    def _path(self, path: str) -> str:
        group = "/apis/ray.io/v1" if path.startswith("rayclusters") else "/api/v1"
        return f"{group}/namespaces/ns/{path}"

    def get(self, path: str) -> Any:
        return self.ask("GET", self._path(path))

    def patch(self, path: str, payload: Any, content_type: str = "") -> Any:
        return self.ask("PATCH", self._path(path), payload)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", self._path(path))


@pytest.fixture
def board() -> SharedState:
    numbers = itertools.count(1)
    return SharedState(DOCUMENT, lambda: f"{next(numbers):05d}")


@pytest.fixture
def client(board: SharedState, tmp_path: Path) -> Iterator[Client]:
    cert = certificate(tmp_path)
    facade = server(board, "ns", SECRET, str(cert), port=0)
    threading.Thread(target=facade.serve_forever, args=(0.05,), daemon=True).start()
    yield Client(facade.server_address[1], cert)
    facade.shutdown()
    facade.server_close()


def pod(name: str, kind: str = "worker", group: str = "small") -> dict[str, Any]:
    labels = {"ray.io/cluster": "demo", "ray.io/group": group, "ray.io/node-type": kind}
    status = {"phase": "Running", "podIP": "192.0.2.1", "containerStatuses": [{"state": {"running": {}}}]}
    return {"metadata": {"name": name, "labels": labels, "resourceVersion": "7"}, "status": status}


def told(board: SharedState, pods: list[Any], version: str, refusals: dict[str, PodRefusal]) -> None:
    board.report(lambda: SeenPods(pods, version, refusals))


def refused(code: int, ask: Any) -> str:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask()
    assert error.value.code == code
    return str(json.load(error.value)["message"])


def test_without_the_token_nothing_is_answered(board: SharedState, client: Client) -> None:
    client._secret = "guess"
    refused(401, lambda: client.get("rayclusters/demo"))
    refused(401, lambda: client.ask("PUT", "/raystead/v1/hello", {}))


def test_nothing_but_its_own_paths_is_served(client: Client) -> None:
    for path in ("/api/v1/namespaces/ns/secrets", "/api/v1/namespaces/other/pods", "/", "/apis/ray.io/v1/x"):
        refused(404, lambda path=path: client.ask("GET", path))
    refused(404, lambda: client.get("rayclusters/other"))
    refused(404, lambda: client.ask("PUT", "/raystead/v1/hello", {"client": "one"}))  # it acts itself
    refused(403, lambda: client.delete("rayclusters/demo"))
    refused(403, lambda: client.patch("pods/demo-head-1/resize", []))


def test_pods_that_nobody_has_reported_are_unknown_and_not_none(board: SharedState, client: Client) -> None:
    assert "nobody has reported" in refused(
        503, lambda: client.get("pods?labelSelector=ray.io%2Fcluster%3Ddemo")
    )
    told(board, [], "1", {})
    assert client.get("pods?labelSelector=ray.io%2Fcluster%3Ddemo")["items"] == []


def test_a_wish_that_cannot_be_stored_is_no_wish(board: SharedState, client: Client) -> None:
    def full(scaling: object) -> None:
        raise OSError("the API server is away")

    board.keep = full
    wish = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2}]
    assert "could not be stored: the API server is away" in refused(
        503, lambda: client.patch("rayclusters/demo", wish)
    )
    assert client.get("rayclusters/demo")["spec"]["workerGroupSpecs"][0]["replicas"] == 0


def test_rays_provider_of_v2_scales_up_and_down(
    board: SharedState, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.autoscaler.v2.instance_manager.cloud_providers.kuberay.cloud_provider import KubeRayProvider

    told(board, [pod("demo-head-1", "head", "headgroup")], "7", {})
    provider = KubeRayProvider("demo", {"namespace": "ns"}, gcs_client=None, k8s_api_client=client)
    assert list(provider.get_non_terminated()) == ["demo-head-1"]
    provider.launch({"small": 2}, "first")
    assert provider.poll_errors() == []
    assert board.scaling.groups["small"].names == ["demo-small-worker-00001", "demo-small-worker-00002"]
    workers = [pod(name) for name in board.scaling.groups["small"].names]
    told(board, [pod("demo-head-1", "head", "headgroup"), *workers], "9", {})
    assert len(provider.get_non_terminated()) == 3
    provider.terminate(["demo-small-worker-00001"], "second")
    assert provider.poll_errors() == []
    assert board.scaling.groups["small"].names == ["demo-small-worker-00002"]
    assert board.scaling.groups["small"].replicas == 1


def test_rays_provider_of_v1_scales_up_and_down(board: SharedState, client: Client) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.kuberay.node_provider import KubeRayNodeProvider
    from ray.autoscaler.batching_node_provider import ScaleRequest

    config = _derive_autoscaling_config_from_ray_cr(client.get("rayclusters/demo"))
    assert config["available_node_types"]["small"]["max_workers"] == 2147483647
    provider = KubeRayNodeProvider(config["provider"], "demo")
    provider.k8s_api_client = client
    told(board, [pod("demo-head-1", "head", "headgroup")], "7", {})
    assert list(provider.get_node_data()) == ["demo-head-1"]
    provider.submit_scale_request(ScaleRequest(desired_num_workers={"small": 1}))
    (name,) = board.scaling.groups["small"].names
    told(board, [pod("demo-head-1", "head", "headgroup"), pod(name)], "8", {})
    provider.node_data_dict = provider.get_node_data()
    provider.submit_scale_request(ScaleRequest(desired_num_workers={"small": 0}, workers_to_delete={name}))
    assert board.scaling.groups["small"].names == []
    told(board, [pod("demo-head-1", "head", "headgroup")], "9", {})
    provider.node_data_dict = provider.get_node_data()
    assert provider.safe_to_scale()
    assert board.scaling.groups["small"].delete == []


RECORDED = sorted((Path(__file__).resolve().parents[1] / "data" / "provider").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_what_the_providers_of_older_rays_ask_is_answered(
    path: Path, board: SharedState, client: Client
) -> None:
    """Requests that tests/data/provider/record.py has noted: two workers come, the first of them goes."""
    answered = []
    for row in json.loads(path.read_text()):
        if "pods" in row:
            assert sorted(row["pods"]) == board.scaling.groups["small"].names
            there = [pod("demo-head-1", "head", "headgroup"), *map(pod, row["pods"])]
            told(board, there, row["version"], {})
        else:
            answered.append(client.ask(row["method"], row["path"], row["body"])["kind"])
    assert set(answered) == {"RayCluster", "PodList"}
    assert board.scaling.groups["small"].names == ["demo-small-worker-00002"]


def test_three_rays_are_recorded_for_both_autoscalers() -> None:
    assert len({path.stem.rpartition("-")[0] for path in RECORDED}) == len(RECORDED) / 2 == 3


def test_a_refusal_caps_what_the_autoscaler_may_ask_for(board: SharedState, client: Client) -> None:
    told(board, [], "1", {"small": PodRefusal("exceeded quota: team", 2, 0.0)})
    assert client.get("rayclusters/demo")["spec"]["workerGroupSpecs"][0]["maxReplicas"] == 2


def test_a_client_acts_through_the_same_door_where_there_is_a_relay(tmp_path: Path) -> None:
    cert, relay = certificate(tmp_path), Relay(DOCUMENT)
    facade = server(relay, "ns", SECRET, str(cert), port=0, relay=relay)
    threading.Thread(target=facade.serve_forever, args=(0.05,), daemon=True).start()
    ray = Client(facade.server_address[1], cert)
    assert ray.ask("PUT", "/raystead/v1/hello", {"client": "one"}) == {"protocol": 1}
    seen = {"cluster": ray.get("rayclusters/demo"), "pods": [pod("demo-small-worker-1")], "version": "5"}
    ray.ask("PUT", "/raystead/v1/view", {"client": "one", **seen})
    assert len(ray.get("pods?labelSelector=ray.io%2Fcluster%3Ddemo")["items"]) == 1
    wish = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2}]
    threading.Thread(target=lambda: ray.patch("rayclusters/demo", wish), daemon=True).start()
    (found,) = ray.ask("GET", "/raystead/v1/patches?client=one")["patches"]
    assert found["operations"] == wish
    ray.ask("PUT", "/raystead/v1/answer", {"client": "one", "id": found["id"], "status": 200, "body": {}})
    refused(409, lambda: ray.ask("PUT", "/raystead/v1/view", {"client": "two", **seen}))
    refused(400, lambda: ray.ask("PUT", "/raystead/v1/hello", 3))
    refused(404, lambda: ray.ask("PUT", "/raystead/v1/else", {"client": "one"}))
    facade.shutdown()
    facade.server_close()
