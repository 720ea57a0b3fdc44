"""Files that people really bring, and what becomes of each: read (with its notes) or refused, line by line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import patience

from raystead.errors import SpecError
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests, secret_commands
from raystead.spec.load import SpecFile, load
from raystead.spec.text import decode

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "data" / "cases"

READ = {
    # file: (line of the note, a part of it), in the order of the file
    "RayClusterList.json": [(30, "does not end with what owned the RayCluster")],
    "app-tag.yaml": [],
    "cap-sys-admin.yaml": [],
    "cpu-half-mem-1e9.yaml": [],
    "crlf.yaml": [],
    "dashboard-and-client-ports-only.yaml": [],
    "digest.yaml": [],
    "empty-documents.yaml": [],
    "env-auth-mode-disabled.yaml": [],
    "fluentbit-root-sidecar.yaml": [],
    "ft-True.yaml": [(5, "KubeRay's old form")],
    "gpu-extended.yaml": [],
    "group-dot-capitals.yaml": [],
    "headservice-nodeport.yaml": [],
    "helm-chart-1.4.yaml": [],
    "helm-nulls.yaml": [],
    "hostnetwork-workers-only.yaml": [(24, "network policies cannot see pods in the node's network")],
    "hostnetwork.yaml": [(17, "network policies cannot see"), (24, "network policies cannot see")],
    "istio.yaml": [],
    "json-tabs.json": [],
    "kai-queue.yaml": [],
    "kubectl-get-1.7.yaml": [],
    "kubectl-get-o-yaml.yaml": [(31, "does not end with what owned the RayCluster")],
    "kubelet-variable.yaml": [],
    "kueue.yaml": [],
    "memory-limit-0.yaml": [],
    "multi-doc-foreign.yaml": [],
    "multiline-command.yaml": [],
    "native-sidecar.yaml": [],
    "no-resources.yaml": [],
    "node-port-8265.yaml": [
        (10, "nodePort 8265 is outside of 30000-32767, which most clusters do not allow")
    ],
    "nodeport-no-allow-from.yaml": [],
    "old-v1alpha1.yaml": [(11, "headGroupSpec.replicas: no effect: a cluster has one head")],
    "one-probe.yaml": [],
    "overwrite-True.yaml": [],
    "overwrite-on-template.yaml": [],
    "own-image-tag-1.4.2.yaml": [],
    "own-image-tag-date.yaml": [],
    "own-tag-elsewhere.yaml": [],
    "own-tmp-shm-ephemeral.yaml": [],
    "powershell-utf16.yaml": [],
    "priority0.yaml": [],
    "pyspy-sys-ptrace.yaml": [],
    "queue-labels.yaml": [],
    "rayversion-nightly.yaml": [],
    "redis-ipv6.yaml": [],
    "redis-tls.yaml": [],
    "resources-json-escaped.yaml": [],
    "serve-noport.yaml": [],
    "serve-type.yaml": [],
    "share-process-namespace.yaml": [],
    "sidecar-first.yaml": [(12, "this is oauth-proxy; put ray-head first")],
    "small-memory.yaml": [
        (14, "4Mi is little memory for Ray; did you mean 4Gi?"),
        (24, "200M is little memory for Ray; did you mean 4Gi?"),
    ],
    "stale-version.yaml": [],
    "sudo-apt.yaml": [],
    "system-config.yaml": [],
    "version-mismatch.yaml": [],
    "vllm-root-image.yaml": [],
    "workergroups-null.yaml": [],
    "yaml-directive.yaml": [],
    "yunikorn.yaml": [],
}
REFUSED = {
    # file: (line of the problem, a part of it), in the order of the file
    "anchors.yaml": [(1, "x-ray: there is no such field here")],
    "duplicate-env.yaml": [(19, "HF_HOME appears twice (see line 17)")],
    "duplicate-mounts.yaml": [
        (18, "/models appears twice (see line 17)"),
        (18, 'there is no volume "m2"; did you mean m?'),
        (21, "name m appears twice (see line 20)"),
    ],
    "duplicate-ports.yaml": [
        (18, "containerPort 8265/TCP appears twice (see line 17)"),
        (20, "two ports are named client (see line 19)"),
    ],
    "env-int-bool.yaml": [
        (19, "expected a string, got the number 0; write it in quotes"),
        (21, "expected a string, got the boolean true; write it in quotes"),
    ],
    "gpu-in-requests-only.yaml": [(28, 'nvidia.com/gpu is requested without a limit')],
    "group-underscore.yaml": [(19, '"gpu_workers.a100" is not a valid group name')],
    "head-service-ports.yaml": [
        (11, "two ports are named dashboard (see line 10)"),
        (12, '"Client_Port" is not a valid port name'),
        (13, "the port has no name, and there are others beside it"),
        (13, "port 8265/TCP appears twice (see line 10)"),
    ],
    "helm-template.yaml": [(4, "a template of Helm or Jinja")],
    "helm-values.yaml": [(1, "values of a Helm chart, not a RayCluster; helm template")],
    "images.yaml": [
        (15, '"rayproject/ray: 2.60.0" is not a valid image; did you mean rayproject/ray:2.60.0?'),
        (18, '"rayproject/ray:2.60.0 " is not a valid image; did you mean rayproject/ray:2.60.0?'),
        (20, '"docker://rayproject/ray:2.60.0" is not a valid image; did you mean rayproject/ray:2.60.0?'),
    ],
    "init-memory-3500m.yaml": [(22, "3500m is thousandths of a byte; did you mean 3500Mi?")],
    "jinja-template.yaml": [(6, "a template of Helm or Jinja")],
    "kustomization.yaml": [(1, "this is a kustomization; kubectl kustomize . | raystead up -f -")],
    "labels-invalid.yaml": [
        (6, "the label's value has 79 characters, 63 at most"),
        (7, '"bad key!" is not a valid key of a label'),
        (14, '"some value with blanks" is not a valid value of a label'),
    ],
    "latin1.yaml": [(1, "this byte (0xe9) is not UTF-8 text")],
    "memory-units.yaml": [
        (15, "requests.memory: 500m is thousandths of a byte; did you mean 500Mi?"),
        (16, "limits.memory: 500m is thousandths of a byte; did you mean 500Mi?"),
        (19, "limits.memory: 64 is less than a mebibyte; did you mean 64Mi?"),
        (21, "sizeLimit: 200m is thousandths of a byte; did you mean 200Mi?"),
    ],
    "name-with-dot.yaml": [(4, '"ray.team-a" is not a valid cluster name')],
    "no-break-space.yaml": [(8, "the line is indented with U+00A0, which is not a space")],
    "no-image.yaml": [(10, "the container has no image"), (16, "the container has no image")],
    "object-store-over-limit.yaml": [(8, "larger than the container's memory limit of 2Gi")],
    "param-memory-4Gi.yaml": [(8, "\"4Gi\" is not a whole number; Ray takes bytes: '4294967296'")],
    "params-int-bool.yaml": [
        (8, "num-cpus: expected a string, got the number 0"),
        (8, "block: expected a string, got the boolean true"),
        (8, "metrics-export-port: expected a string, got the number 8080"),
    ],
    "plain-deployments.yaml": [(1, "raystead up makes such a cluster by itself, without a file")],
    "ports-udp-longname.yaml": [(21, "has 19 characters, 15 at most")],
    "quantities.yaml": [
        (17, '"8GB" is not a valid quantity'),
        (19, '"2 cores" is not a valid quantity'),
        (20, '"4 Gi" is not a valid quantity'),
    ],
    "quotation-marks.yaml": [(16, "are letters to YAML and bash, not quotation marks")],
    "ray-start-typos.yaml": [
        (7, "did you mean dashboard-host?"),
        (8, "did you mean num-cpus?"),
        (9, "did you mean num-gpus?"),
        (10, 'ray start has no parameter "--block"; did you mean block?'),
    ],
    "rayjob.yaml": [
        (6, "there is no such field here; did you mean rayClusterSpec?"),
    ],
    "request-over-limit.yaml": [(29, "the request for cpu, 2, is over its limit, 1 (see line 28)")],
    "rocks-reserved-env.yaml": [
        (9, "externalStorageNamespace has no effect with backend rocksdb"),
        (20, "RAY_gcs_storage is set by backend rocksdb"),
    ],
    "rocks-reserved.yaml": [
        (16, "the volume gcs-storage is made by backend rocksdb"),
        (20, "the path /data/gcs are taken by backend rocksdb"),
    ],
    "system-config-unquoted.yaml": [(8, 'write \'"{\\"health_check_period_ms\\": 3000, \\"x\\": 1}"\'')],
    "tabs.yaml": [(11, "this is not YAML")],
    "toleration-bool.yaml": [
        (18, "expected a string, got the boolean true; write it in quotes"),
        (19, "expected a whole number, got a string; write it without quotes"),
        (19, "tolerationSeconds needs the effect NoExecute"),
    ],
    "two-clusters.yaml": [(16, "a second RayCluster; one file, one cluster")],
    "typos.yaml": [
        (8, "replica: there is no such field here; did you mean replicas?"),
        (9, "workerGroupSpecs belongs in spec: check the indentation"),
        (13, "did you mean labels?"),
        (15, "did you mean hostNetwork?"),
        (16, "volumeMounts belongs in a container: check the indentation"),
        (20, "nodeSelector belongs in the pod's spec: check the indentation"),
        (22, "limit: there is no such field here; did you mean limits?"),
        (23, "did you mean env?"),
        (25, "did you mean path?"),
    ],
    "web-page.yaml": [(1, "this is a web page (HTML), not YAML")],
    "words-in-the-wrong-case.yaml": [
        (6, "did you mean NodePort?"),
        (9, "did you mean ClusterFirst?"),
        (11, "did you mean DoNotSchedule?"),
        (16, "did you mean In?"),
        (18, "did you mean Exists?"),
        (18, "did you mean NoSchedule?"),
        (22, "did you mean IfNotPresent?"),
    ],
}  # fmt: skip


def given(name: str) -> SpecFile:
    return load(decode((CASES / name).read_bytes(), name), name)


def test_every_file_has_its_row() -> None:
    assert sorted([*READ, *REFUSED]) == sorted(path.name for path in CASES.iterdir())


@pytest.mark.parametrize("name", READ)
def test_a_file_that_works_elsewhere_is_read_and_renders(name: str) -> None:
    file = given(name)
    assert manifests(file.cluster, Facts())
    secret_commands(file.cluster, Facts())
    notes = [(note.line, str(note)) for note in file.notes]
    assert [line for line, _ in notes] == [line for line, _ in READ[name]]
    for (_, text), (_, part) in zip(notes, READ[name], strict=True):
        assert part in text


def test_a_command_of_several_lines_ends_before_ray_start() -> None:
    objects = manifests(given("multiline-command.yaml").cluster, Facts())
    (head,) = (o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == "pipcmd-head")
    (script,) = head["spec"]["template"]["spec"]["containers"][0]["args"]
    assert script.startswith("pip install --no-cache-dir emoji\necho installed &&")
    subprocess.run(["/bin/bash", "-n", "-c", script], check=True)  # reads it, runs nothing


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_told_where_it_is(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        given(name)
    problems = caught.value.problems  # type: ignore[attr-defined]
    assert [problem.line for problem in problems] == [line for line, _ in REFUSED[name]], problems
    for (_, part), problem in zip(REFUSED[name], problems, strict=True):
        assert part in str(problem)


def nested(depth: int) -> str:
    return "a: " + "[" * depth + "]" * depth


HOSTILE = {
    "a binary number without digits": ("a: 0b_", "no apiVersion and kind"),
    "5,000 digits": (f"replicas: {'9' * 5000}", "this number has 5000 characters"),
    "nested 500 deep": (nested(500), "nested more than 100 deep"),
    "nested 100,000 deep": (nested(100_000), "nested more than 100 deep"),
    "lists in lists": ("- " * 100_000, "nested more than 100 deep"),
    "aliases in aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 600)),
        "nested more than 100 deep",
    ),
    "an alias of itself": ("a: &a [*a]", "aliases expand without end"),
    "a web page": ("<html><body>502 Bad Gateway</body></html>", "this is a web page"),
    "an answer of a proxy": ("404: Not Found", "no apiVersion and kind"),
    "a control character": ("a: \x07", "control characters are not allowed"),
    "a lone surrogate": ("a: \ud800", "surrogates not allowed"),
    "nothing at all": ("", "there is no RayCluster in this file"),
    "text": ("hello", "this is plain text"),
    "a list": ("- a", "this is a list"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_file_holds_the_answer_is_a_sentence(name: str) -> None:
    text, words = HOSTILE[name]
    began = time.monotonic()
    with pytest.raises(SpecError, match=words):
        load(text, "f.yaml")
    assert time.monotonic() - began < patience(5)


def test_the_table_of_fields_is_the_schemas() -> None:
    table = ROOT / "src" / "raystead" / "spec" / "podfields.py"
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "podfields"), "-"], capture_output=True, text=True, check=True
    )
    assert made.stdout == table.read_text(), "run scripts/podfields"
