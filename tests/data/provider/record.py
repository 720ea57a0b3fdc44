"""Records what the KubeRay providers of a Ray version ask the API server: the version's own code against the façade.

    PYTHONPATH=src PYTHON tests/data/provider/record.py v1|v2 FOLDER

PYTHON has that Ray installed (`pip install ray==2.41.0 requests`). Writes FOLDER/ray-VERSION-v1.json, or -v2.json:
requests in their order, and between them the pods that there were by then.
"""

import importlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path

import ray

from raystead.incluster import facade

SECRET = "recorded"
CONTAINER = {"name": "ray", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
GROUP = {"rayStartParams": {}, "template": {"spec": {"containers": [CONTAINER]}}}
DOCUMENT = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "demo", "namespace": "ns"},
    "spec": {
        "enableInTreeAutoscaling": True,
        "headGroupSpec": GROUP,
        "workerGroupSpecs": [{"groupName": "small", **GROUP}],
    },
}
KUBERAY = "ray.autoscaler._private.kuberay"


def pod(name, kind="worker", group="small"):
    labels = {"ray.io/cluster": "demo", "ray.io/group": group, "ray.io/node-type": kind}
    status = {"phase": "Running", "podIP": "192.0.2.1", "containerStatuses": [{"state": {"running": {}}}]}
    return {"metadata": {"name": name, "labels": labels, "resourceVersion": "7"}, "status": status}


class Recording:
    """A façade that notes what it is asked; the pods of the story are set from outside."""

    def __init__(self, folder):
        cert = Path(folder) / "tls.pem"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        both = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(cert), "-out", str(cert) + ".crt"]
        subprocess.run(["openssl", *words.split(), *both], check=True, capture_output=True)
        self.ca = str(cert) + ".crt"
        cert.write_text(cert.read_text() + Path(self.ca).read_text())
        numbers, self.noted, self.version = count(1), [], count(7)
        self.state = facade.SharedState(DOCUMENT, lambda: f"{next(numbers):05d}")
        self.server = facade.server(self.state, "ns", SECRET, str(cert), port=0)
        handler, noted = self.server.RequestHandlerClass, self.noted
        body = handler._body

        def read(self):
            self.given = body(self)
            return self.given

        def guarded(self, answer):
            self.given = None
            facade._FacadeHandler._guarded(self, answer)
            asked = {"method": self.command, "path": self.path, "type": self.headers.get("Content-Type")}
            noted.append({**asked, "body": json.loads(self.given) if self.given else None})

        handler._body, handler._guarded = read, guarded
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        os.environ["KUBERNETES_SERVICE_HOST"] = "localhost"
        os.environ["KUBERNETES_SERVICE_PORT"] = os.environ["KUBERNETES_SERVICE_PORT_HTTPS"] = str(
            self.server.server_address[1]
        )

    def pods(self, *workers):
        version = str(next(self.version))
        self.noted.append({"pods": list(workers), "version": version})
        there = [pod("demo-head-1", "head", "headgroup"), *map(pod, workers)]
        self.state.report(lambda: facade.SeenPods(there, version, {}))

    def names(self):
        return list(self.state.scaling.groups["small"].names)

    def secrets(self):
        """In place of the ServiceAccount's files."""
        modules = [
            importlib.import_module(f"{KUBERAY}.{name}") for name in ("node_provider", "autoscaling_config")
        ]
        parts = 3 if hasattr(modules[0], "KUBERAY_CLIENT_CERT_PATH") else 2
        found = ({"Authorization": f"Bearer {SECRET}"}, self.ca, None)[:parts]
        for module in modules:
            if hasattr(module, "load_k8s_secrets"):
                module.load_k8s_secrets = lambda: found


def first(story):
    config = importlib.import_module(f"{KUBERAY}.autoscaling_config").AutoscalingConfigProducer(
        "demo", "ns"
    )()
    module = importlib.import_module(f"{KUBERAY}.node_provider")
    batching = importlib.import_module("ray.autoscaler.batching_node_provider")
    provider = getattr(module, "KubeRayNodeProvider", None) or module.KuberayNodeProvider
    provider = provider(config["provider"], "demo")
    story.pods()
    provider.node_data_dict = provider.get_node_data()
    provider.submit_scale_request(batching.ScaleRequest(desired_num_workers={"small": 2}))
    one, two = story.names()
    story.pods(one, two)
    provider.node_data_dict = provider.get_node_data()
    assert len(provider.node_data_dict) == 3
    provider.submit_scale_request(
        batching.ScaleRequest(desired_num_workers={"small": 1}, workers_to_delete={one})
    )
    story.pods(two)
    provider.node_data_dict = provider.get_node_data()
    assert provider.safe_to_scale()
    assert story.names() == [two]


def second(story):
    kind = "ray.autoscaler.v2.instance_manager.cloud_providers.kuberay.cloud_provider"
    provider = importlib.import_module(kind).KubeRayProvider
    more = {"gcs_client": None} if "gcs_client" in inspect.signature(provider).parameters else {}
    provider = provider("demo", {"namespace": "ns"}, **more)
    story.pods()
    assert len(provider.get_non_terminated()) == 1
    provider.launch({"small": 2}, "first")
    one, two = story.names()
    story.pods(one, two)
    assert len(provider.get_non_terminated()) == 3
    provider.terminate([one], "second")
    assert provider.poll_errors() == []
    story.pods(two)
    assert len(provider.get_non_terminated()) == 2
    assert story.names() == [two]


def main(version, folder):
    with tempfile.TemporaryDirectory() as place:
        story = Recording(place)
        story.secrets()
        {"v1": first, "v2": second}[version](story)
        rows = ",\n".join(json.dumps(row) for row in story.noted)
        (Path(folder) / f"ray-{ray.__version__}-{version}.json").write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
