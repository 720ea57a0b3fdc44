"""Files of kinds that people really bring, each a few lines around one oddity: read, noted or refused.

A table a kind. What is read is compared with what it means; what is refused, with its line and sentence.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest

from raystead.errors import SpecError
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.ops.specs import desired
from raystead.spec.flags import Flags
from raystead.spec.load import SpecFile, load

Json = dict[str, Any]
PLACES = ("META", "SPEC", "HEAD", "HEADTEMPLATE", "HEADPOD", "HEADRAY", "GROUP", "POD", "RAY")
FRAME = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: odd
  META
spec:
  rayVersion: "2.60.0"
  SPEC
  headGroupSpec:
    HEAD
    template:
      HEADTEMPLATE
      spec:
        HEADPOD
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0
          HEADRAY
  workerGroupSpecs:
  - groupName: w
    GROUP
    template:
      spec:
        POD
        containers:
        - name: ray-worker
          image: rayproject/ray:2.60.0
          RAY
"""


def file(**parts: str) -> str:
    """A whole file with pieces of YAML at their places; what no piece is for is left out."""
    lines = []
    for line in FRAME.splitlines():
        word = line.strip()
        if word not in PLACES:
            lines.append(line)
        elif word.lower() in parts:
            lines.append(textwrap.indent(parts[word.lower()].strip("\n"), " " * line.index(word)))
    return "\n".join(lines) + "\n"


def given(text: str) -> SpecFile:
    return load(text, "f.yaml")


def pod(text: str, group: str = "w-worker") -> Json:
    for item in manifests(given(text).cluster, Facts()):
        if item["kind"] == "Deployment" and item["metadata"]["name"] == f"odd-{group}":
            found: Json = item["spec"]["template"]
            return found
    raise AssertionError(group)


def refused(text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        desired(Flags(), text, "f.yaml")
    return [str(problem) for problem in error.value.problems]


def within(theirs: Any, ours: Any) -> bool:
    """Whether all that stands in the one stands in the other too."""
    if isinstance(theirs, dict):
        return all(key in ours and within(value, ours[key]) for key, value in theirs.items())
    if isinstance(theirs, list):
        return all(any(within(one, other) for other in ours) for one in theirs)
    return bool(theirs == ours)


KEPT = {
    # what stands in the worker's pod, and has to stand in the rendered one
    "a shared-memory volume of their own": (
        "volumes: [{name: dshm, emptyDir: {medium: Memory, sizeLimit: 8Gi}}]",
        "volumeMounts: [{name: dshm, mountPath: /dev/shm}]",
    ),
    "a projected volume with octal modes": (
        "volumes: [{name: p, projected: {defaultMode: 0440, sources: [{secret: {name: s, items: "
        "[{key: a, path: b, mode: 0o400}]}}, {serviceAccountToken: {path: t, audience: sts.amazonaws.com}}]}}]",
        "volumeMounts: [{name: p, mountPath: /p, readOnly: true}]",
    ),
    "subPath mounts": (
        "volumes: [{name: c, configMap: {name: c, defaultMode: 0755}}]",
        "volumeMounts: [{name: c, mountPath: /a.py, subPath: a.py}, {name: c, mountPath: /b, subPathExpr: $(P)}]",
    ),
    "a CSI volume and NFS": (
        "volumes: [{name: s, csi: {driver: x.csi, volumeAttributes: {a: b}}}, {name: n, nfs: {server: n, path: /}}]",
        "volumeMounts: [{name: s, mountPath: /s}, {name: n, mountPath: /n, mountPropagation: HostToContainer}]",
    ),
    "an ephemeral claim": (
        "volumes: [{name: e, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], "
        "storageClassName: nvme, resources: {requests: {storage: 100Gi}}}}}}]",
        "volumeMounts: [{name: e, mountPath: /scratch}]",
    ),
    "an image volume": (
        "volumes: [{name: i, image: {reference: 'reg/model:1', pullPolicy: IfNotPresent}}]",
        "volumeMounts: [{name: i, mountPath: /m}]",
    ),
    "envFrom with a prefix": (
        "", "envFrom: [{configMapRef: {name: c, optional: true}}, {prefix: DB_, secretRef: {name: db}}]",
    ),
    "lifecycle hooks": ("", "lifecycle: {preStop: {sleep: {seconds: 5}}, postStart: {exec: {command: [x]}}}"),
    "gates": ("readinessGates: [{conditionType: a/b}]\nschedulingGates: [{name: a/wait}]", ""),
    "spread and affinity": (
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, "
        "labelSelector: {matchLabels: {ray.io/group: w}}}]\naffinity: {podAntiAffinity: {}}",
        "",
    ),
    "names and addresses": (
        "dnsPolicy: None\ndnsConfig: {nameservers: [10.0.0.10], options: [{name: ndots, value: '2'}]}\n"
        "hostAliases: [{ip: 10.1.2.3, hostnames: [db]}]\nhostname: w\nsubdomain: ray",
        "",
    ),
    "a GPU's runtime class": ("runtimeClassName: nvidia\nimagePullSecrets: [{name: regcred}]", ""),
    "claims on devices": (
        "resourceClaims: [{name: gpu, resourceClaimTemplateName: one}]",
        "resources: {claims: [{name: gpu}], limits: {cpu: 1}}",
    ),
    "a native sidecar of an injector": (
        "initContainers: [{name: proxy, image: 'envoy:1', restartPolicy: Always}]", "workingDir: /data",
    ),
    "a windows path in single quotes": ("", r"env: [{name: P, value: 'C:\Users\ray'}]"),
    "their own grace": ("terminationGracePeriodSeconds: 600", ""),
    "processes of the node": ("hostIPC: true\nhostPID: true\nshareProcessNamespace: true", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEPT)
def test_what_a_pod_says_is_kept(kind: str) -> None:
    in_pod, in_ray = KEPT[kind]
    text = file(**{key: part for key, part in (("pod", in_pod), ("ray", in_ray)) if part})
    theirs = given(text).cluster.spec.workers[0].template.spec
    spec = pod(text)["spec"]
    for key, value in theirs.items():
        assert within(value, spec[key]), key


START = {
    # a worker's resources or parameters, and what `ray start` has of them
    "a fraction of a CPU is rounded up": ("ray", "resources: {limits: {cpu: 750m}}", "--num-cpus=1 "),
    "a CPU in the notation of numbers": ("ray", "resources: {limits: {cpu: 1.5}}", "--num-cpus=2 "),
    "a slice of a GPU": ("ray", "resources: {limits: {nvidia.com/mig-3g.20gb: 2}}", "--num-gpus=2 "),
    "AMD's": ("ray", "resources: {limits: {amd.com/gpu: 1}}", "--num-gpus=1 "),
    "shares of memory are no GPUs": (
        "ray", "resources: {limits: {nvidia.com/gpu: 1, nvidia.com/gpumem: 3000}}", "--num-gpus=1 ",
    ),
    "no CPUs for tasks": ("group", "rayStartParams: {num-cpus: '0'}", "--num-cpus=0 "),
    "a resource in KubeRay's quotation marks": (
        "group", "rayStartParams: {resources: '\"{\\\"a\\\": 1}\"'}", '--resources="{\\"a\\": 1}" ',
    ),
    "nothing is no parameter": ("group", "rayStartParams: {num-cpus: null, block: ~, labels: }", " --block "),
    "no parameters at all": ("group", "rayStartParams:", " --block "),
}  # fmt: skip


@pytest.mark.parametrize("kind", START)
def test_what_ray_starts_with(kind: str) -> None:
    place, text, flag = START[kind]
    (script,) = pod(file(**{place: text}))["spec"]["containers"][0]["args"]
    assert flag in script
    assert "--labels" not in script


COUNTS = {
    "replicas: 010": 8, "replicas: 0x2": 2, "replicas: 1_0": 10, "replicas:": 0, "replicas: 2.0": 2,
    "replicas: 7\nmaxReplicas: 3": 3, "replicas: 0\nminReplicas: 2": 2, "suspend: true\nreplicas: 3": 0,
}  # fmt: skip


@pytest.mark.parametrize("text", COUNTS)
def test_how_many_pods_a_group_has(text: str) -> None:
    assert given(file(group=text)).cluster.spec.workers[0].wanted == COUNTS[text]


WHOLE = {
    "a carriage return at each end": lambda text: text.replace("\n", "\r\n"),
    "carriage returns alone": lambda text: text.replace("\n", "\r"),
    "blanks at each end": lambda text: re.sub("(?m)^(?!.*echo)(.*)$", r"\1   ", text),
    "comments as documents": lambda text: f"# one\n---\n# two\n---\n{text}---\n# three\n---\n",
    "a line at the end that begins nothing": lambda text: text + "---",
    "the dots that end a document": lambda text: text + "...\n",
    "documents of nothing": lambda text: f"---\nnull\n---\n{text}---\n~\n",
    "the source that Helm writes": lambda text: (
        f"---\n# Source: ray-cluster/templates/raycluster.yaml\n{text}"
    ),
    "what the server wrote": lambda text: text + "status: {state: ready}\n",
    "a tab behind a colon": lambda text: text.replace("groupName: w", "groupName:\tw"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_how_a_file_is_written_down_does_not_matter(kind: str) -> None:
    text = file(ray="command: [bash, -c]\nargs:\n- |\n  echo a\n  echo b")
    assert manifests(given(WHOLE[kind](text)).cluster, Facts()) == manifests(given(text).cluster, Facts())


def test_what_is_repeated_by_an_anchor_is_there_twice() -> None:
    first = "resources: &r\n  limits: {cpu: 1, memory: 2Gi}\nenv: &e [{name: A, value: b}]"
    text = file(headray=first, ray="resources:\n  <<: *r\n  requests: {cpu: 500m}\nenv: *e")
    ray = pod(text)["spec"]["containers"][0]
    assert ray["resources"]["limits"] == {"cpu": 1, "memory": "2Gi"}
    assert ray["resources"]["requests"]["cpu"] == "500m"
    assert {"name": "A", "value": "b"} in ray["env"]


ANNOTATED = [
    'sidecar.istio.io/inject: "false"', "traffic.sidecar.istio.io/excludeInboundPorts: '6379,10001'",
    "linkerd.io/inject: enabled", 'vault.hashicorp.com/agent-inject: "true"', 'gke-gcsfuse/volumes: "true"',
    "prometheus.io/port: '8080'", "cluster-autoscaler.kubernetes.io/safe-to-evict: 'false'",
]  # fmt: skip


@pytest.mark.parametrize("text", ANNOTATED)
def test_annotations_of_injectors_reach_the_pods(text: str) -> None:
    whole = file(headtemplate=f"metadata: {{annotations: {{{text}}}}}")
    key, _, value = text.partition(": ")
    assert pod(whole, "head")["metadata"]["annotations"][key] == value.strip("'\"")


NOTED = {
    "ownerReferences of where it was read": (
        {"meta": "ownerReferences: [{apiVersion: v1, kind: X, name: x, uid: u}]"}, [(5, "does not end with")],
    ),
    "a selector of the head's Service": (
        {"head": "headService: {spec: {selector: {app: x}}}"}, [(8, "no effect, as under KubeRay")],
    ),
    "a name of the pods": (
        {"headtemplate": "metadata: {name: my-head, namespace: other}"},
        [(9, "metadata.name: no effect"), (9, "metadata.namespace: no effect")],
    ),
    "labels that Services select by": (
        {"headtemplate": "metadata: {labels: {ray.io/cluster: x, ray.io/node-type: head, raystead.io/cluster: x}}"},
        [(9, "labels.ray.io/cluster: no effect"), (9, "labels.raystead.io/cluster: no effect")],
    ),
    "a command that never ends": ({"headray": "command: [sleep, infinity]"}, [(13, "sleep infinity never ends")]),
    "one behind others": (
        {"headray": "command: [bash, -c]\nargs: ['echo a; tail -f /dev/null']"}, [(14, "tail -f /dev/null never")],
    ),
    "one that starts Ray itself": ({"headray": "command: [bash, -c, 'ray start --head; sleep infinity']"}, []),
    "a field of the chart in the pod": ({"pod": "sidecarContainers: []"}, [(17, "not known to raystead")]),
    "pods that end": ({"pod": "restartPolicy: Never"}, [(17, "Never becomes Always")]),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTED)
def test_what_has_no_effect_is_noted(kind: str) -> None:
    parts, expected = NOTED[kind]
    notes = given(file(**parts)).notes
    assert [note.line for note in notes] == [line for line, _ in expected], notes
    for note, (_, words) in zip(notes, expected, strict=True):
        assert words in str(note)


REFUSED = {
    "a value and its source": (
        {"ray": "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"},
        ["f.yaml:20:37: ", "A has a value and a valueFrom (see line 20); keep one"],
    ),
    "a source of nothing": ({"ray": "env: [{name: A, valueFrom: {}}]"}, ["this has no source; one of configMapKeyRef"]),
    "a volume of two kinds": (
        {"pod": "volumes: [{name: a, emptyDir: {}, configMap: {name: c}}]"},
        ["f.yaml:17:19: ", "the volume a has 2 sources: emptyDir, configMap; keep one"],
    ),
    "a probe of two kinds": (
        {"ray": "livenessProbe: {httpGet: {path: /, port: 1}, exec: {command: [a]}}"},
        ["a handler is one of these: exec, httpGet; keep one"],
    ),
    "a probe of no kind": (
        {"ray": "livenessProbe: {periodSeconds: 5}"}, ["this has no handler; one of exec, httpGet, tcpSocket, grpc"],
    ),
    "a hook of no kind": ({"ray": "lifecycle: {preStop: {seconds: 5}}"}, ["one of exec, httpGet, tcpSocket, sleep"]),
    "a mode in decimal digits": (
        {"pod": "volumes: [{name: a, secret: {secretName: s, defaultMode: 644}}]"},
        ["644 is no mode of a file", "did you mean 0644?"],
    ),
    "a mode in quotation marks": (
        {"pod": "volumes: [{name: a, secret: {secretName: s, defaultMode: '0644'}}]"}, ["write it without quotes"],
    ),
    "more replicas than there can be": (
        {"group": "replicas: 99999999999999999999"}, ["f.yaml:15:5: ", "is more than the 2147483647 that the API"],
    ),
    "a bound beyond it": ({"group": "maxReplicas: 2147483648"}, ["2147483648 is more than the 2147483647"]),
    "a number that no API server reads": (
        {"pod": "terminationGracePeriodSeconds: 99999999999999999999"}, ["is larger than any that Kubernetes takes"],
    ),
    "an alias as the head's Service": ({"head": "serviceType: ExternalName"}, ["leads to no pod, so no worker finds"]),
    "the same in the Service itself": (
        {"head": "headService: {spec: {type: ExternalName}}"}, ["headService.spec.type: an ExternalName Service"],
    ),
    "a type in other letters": ({"head": "serviceType: nodePort"}, ["did you mean NodePort?"]),
    "resources by other names": (
        {"ray": "resources: {limits: {cpus: 2, mem: 8Gi, storage: 1Gi}}"},
        ["did you mean cpu?", "did you mean memory?", "did you mean ephemeral-storage?"],
    ),
    "half a GPU": ({"ray": "resources: {limits: {nvidia.com/gpu: 0.5}}"}, ["is counted in whole numbers, not 0.5"]),
    "a port that is none": ({"ray": "ports: [{containerPort: 70000}]"}, ["expected at most 65535, got the number 70000"]),
    "a backslash between double quotes": (
        {"ray": 'env: [{name: P, value: "C:\\Users"}]'}, ["begins an escape: write single quotes"],
    ),
    "words for truth in env": ({"ray": "env: [{name: A, value: yes}]"}, ["got the boolean true; write it in quotes"]),
    "an annotation without its quotes": (
        {"headtemplate": "metadata: {annotations: {sidecar.istio.io/inject: false}}"}, ["write it in quotes"],
    ),
    "a list as a mapping": ({"ray": "env: {A: b}"}, ["env: expected a list, got a mapping"]),
    "labels of Ray in its parameters": (
        {"group": "rayStartParams: {labels: 'a=b'}"}, ["labels cannot be set in rayStartParams"],
    ),
    "anchors in a field of their own": ({"spec": "x-common: &c {a: b}"}, ["spec.x-common: there is no such field"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_mistake_has_its_line_and_the_way_out(kind: str) -> None:
    parts, words = REFUSED[kind]
    told = "\n".join(refused(file(**parts)))
    assert [word for word in words if word not in told] == [], told
    assert told.startswith("f.yaml:")


HIDING = {
    # what is wrong by itself, and made all other problems go untold
    "a number among words": {"headray": "args: [sleep, 10]"},
    "a port of 0": {"headray": "ports: [{containerPort: 0}]"},
    "a variable as text": {"headray": "env: ['A=b']"},
    "a volume as text": {
        "headpod": "volumes: [data]",
        "headray": "volumeMounts: [{name: data, mountPath: /d}]",
    },
}


@pytest.mark.parametrize("kind", HIDING)
def test_no_mistake_hides_another(kind: str) -> None:
    told = refused(file(**HIDING[kind], ray="resources: {limits: {cpu: 2 cores}}", group="replicas: -1"))
    assert len(told) == 3, told
    assert any('"2 cores" is not a valid quantity' in one for one in told)
    assert any("-1 is negative" in one for one in told)


JOB = """\
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: j}
spec:
  entrypoint: ENTRYPOINT
  rayClusterSpec: CLUSTER
"""
WRONG = "{headGroupSpec: {template: {spec: {containers: [{name: h, imag: x}]}}, serviceType: nodePort}}"


@pytest.mark.parametrize(
    ("entrypoint", "cluster", "expected"),
    [
        ("a", "[]", ["spec.rayClusterSpec: expected a mapping, got a list"]),
        ("5", "[]", ["spec.entrypoint: expected a string", "spec.rayClusterSpec: expected a mapping"]),
        ("5", WRONG, ["spec.entrypoint: expected a string", "serviceType:", "did you mean image?", "has no image"]),
        ("5", "{}", ["spec.entrypoint: expected a string", "spec.rayClusterSpec.headGroupSpec: this field is"]),
    ],
)  # fmt: skip
def test_a_job_and_its_cluster_are_refused_in_one_go(
    entrypoint: str, cluster: str, expected: list[str]
) -> None:
    told = refused(JOB.replace("ENTRYPOINT", entrypoint).replace("CLUSTER", cluster))
    assert len(told) == len(expected), told
    assert [words for words in expected if words not in "\n".join(told)] == [], told


PRINTED = {
    "what helm install prints": (lambda text: f"NAME: x\nLAST DEPLOYED: now\n{text}", 2, "helm template NAME"),
    "notes behind it": (lambda text: f"{text}\nNOTES:\nYour Ray cluster is ready\n", 21, "helm template NAME"),
    "a cluster of the operator before KubeRay": (
        lambda text: "apiVersion: cluster.ray.io/v1\nkind: RayCluster\nmetadata: {name: x}\nspec: {podTypes: []}\n",
        1, "as headGroupSpec and workerGroupSpecs of ray.io/v1",
    ),
    "JSON with comments": (lambda text: '// of the team\n{"apiVersion": "ray.io/v1"}', 1, "JSON does not have"),
    "a second spec": (lambda text: text + "spec: {}\n", 20, "appears twice, first on line 5"),
    "a tab before a word": (lambda text: text.replace("    template", "\ttemplate", 1), 8, "this is not YAML"),
    "another version": (lambda text: text.replace("ray.io/v1", "ray.io/v2"), 1, "not one of ray.io/v1, ray.io/v1alpha1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PRINTED)
def test_what_is_no_such_file_is_told_as_what_it_is(kind: str) -> None:
    made, line, words = PRINTED[kind]
    (told,) = refused(made(file()))
    assert told.startswith(f"f.yaml:{line}:"), told
    assert words in told
