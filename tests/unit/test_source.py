"""What the API server refuses of a rendered object is told with the line of the file that it comes from."""

from typing import Any

import pytest

from raystead.base.groups import HEAD, worker
from raystead.manifests.facts import Facts
from raystead.ops.specs import desired, render
from raystead.spec.flags import Flags

FILE = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: demo
  labels:
    team: a
spec:
  headGroupSpec:
    headService:
      spec:
        externalTrafficPolicy: Sometimes
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.60.0
          env:
          - name: MINE
            value: x
        - name: side
          image: busybox:1.36
          env:
          - name: "A=B"
            value: x
          volumeMounts:
          - name: data
            mountPath: /data
        volumes:
        - name: data
          emptyDir: {}
  workerGroupSpecs:
  - groupName: small
    replicas: 1
    template:
      spec:
        containers:
        - name: w
          image: rayproject/ray:2.60.0
  - groupName: large
    replicas: 1
    template:
      spec:
        nodeSelector:
          "bad key!": x
        containers:
        - name: w
          image: rayproject/ray:2.60.0
          securityContext:
            runAsUser: -5
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: mine
data:
  x: 5
foo: 1
"""
HEAD_CONTAINERS = "spec.headGroupSpec.template.spec.containers"
LARGE = "spec.workerGroupSpecs[1].template.spec"


def objects(text: str = FILE, flags: Flags | None = None) -> tuple[Any, dict[str, Any]]:
    asked = desired(flags or Flags(), text, "ray.yaml")
    rendered = render(asked, Facts(namespace="ns")).objects
    return asked.source, {f"{item['kind']}/{item['metadata']['name']}": item for item in rendered}


def index(item: Any, name: str, within: str) -> int:
    """The place of a container's item in the rendered object, where we have put more of them."""
    found = item["spec"]["template"]["spec"]["containers"][0][within]
    return next(i for i, one in enumerate(found) if one["name"] == name)


@pytest.mark.parametrize(
    ("which", "message", "told"),
    [
        (
            "Deployment/demo-head",
            'Deployment.apps "demo-head" is invalid: spec.template.spec.containers[1].env[0].name: Invalid value: "A=B": no',
            f'ray.yaml:23:13: {HEAD_CONTAINERS}[1].env[0].name: Invalid value: "A=B": no',
        ),
        (
            "Deployment/demo-large-worker",
            'Deployment.apps "x" is invalid: [spec.template.spec.containers[0].securityContext.runAsUser: Invalid '
            'value: -5: must be 0, spec.template.spec.nodeSelector: Invalid value: "bad key!": a, b]',
            f'ray.yaml:43:9: {LARGE}.nodeSelector: Invalid value: "bad key!": a, b; '
            f"ray.yaml:49:13: {LARGE}.containers[0].securityContext.runAsUser: Invalid value: -5: must be 0",
        ),
        (
            # a field that is required and that neither has
            "Deployment/demo-large-worker",
            'Deployment.apps "x" is invalid: spec.template.spec.dnsConfig: Required value',
            f"ray.yaml:42:7: {LARGE}.dnsConfig: Required value",
        ),
        (
            # server-side apply names items by their keys
            "Deployment/demo-head",
            'failed to create typed patch object (ns/x; apps/v1, Kind=Deployment): .spec.template.spec.containers[name="side"].image: no',
            f"ray.yaml:21:11: {HEAD_CONTAINERS}[1].image: no",
        ),
        (
            "Deployment/demo-head",
            'x: .spec.template.spec.containers[name="side"].env: duplicate entries for key [name="A=B"]',
            f'x: ray.yaml:22:11: {HEAD_CONTAINERS}[1].env: duplicate entries for key [name="A=B"]',
        ),
        (
            "Deployment/demo-head",
            'x: .spec.template.spec.containers[name="side"].volumeMounts[mountPath="/data"].name: no',
            f"x: ray.yaml:26:13: {HEAD_CONTAINERS}[1].volumeMounts[0].name: no",
        ),
        (
            "Service/demo-head-svc",
            'Service "demo-head-svc" is invalid: spec.externalTrafficPolicy: Unsupported value: "Sometimes"',
            'ray.yaml:11:9: spec.headGroupSpec.headService.spec.externalTrafficPolicy: Unsupported value: "Sometimes"',
        ),
        # a label of the cluster that the Deployment has not
        ("Deployment/demo-head", "metadata.labels[team]: no", None),
        (
            "ConfigMap/mine",
            'ConfigMap "mine" is invalid: metadata.name: Invalid value: "mine"',
            'ray.yaml:54:3: metadata.name: Invalid value: "mine"',
        ),
        (
            "ConfigMap/mine",
            "failed to create typed patch object (ns/mine; /v1, Kind=ConfigMap): errors:\n"
            "  .foo: field not declared in schema\n  .data.x: expected string, got &value.valueUnstructured{Value:5}",
            "ray.yaml:56:3: data.x: expected string, got 5; ray.yaml:57:1: foo: field not declared in schema",
        ),
        # what others say of it stays as it is
        ("Deployment/demo-head", "violates PodSecurity: runAsNonRoot != true", None),
        ("Deployment/demo-head", "see https://example.com/spec.template.html", None),
    ],
)
def test_a_field_that_is_refused_has_its_line(which: str, message: str, told: str | None) -> None:
    source, rendered = objects()
    assert source.located(message, rendered[which]) == (told or message)


def test_what_we_have_put_into_the_users_lists_counts_for_nothing() -> None:
    source, rendered = objects()
    head = rendered["Deployment/demo-head"]
    mine = f"spec.template.spec.containers[0].env[{index(head, 'MINE', 'env')}].value"
    assert source.located(f"{mine}: no", head) == f"ray.yaml:19:13: {HEAD_CONTAINERS}[0].env[0].value: no"
    ours = next(
        e["name"] for e in head["spec"]["template"]["spec"]["containers"][0]["env"] if e["name"] != "MINE"
    )
    field = f"spec.template.spec.containers[0].env[{index(head, ours, 'env')}].value: no"
    assert source.located(field, head) == field


def test_what_a_flag_has_changed_has_no_line() -> None:
    source, rendered = objects(flags=Flags(image="other/ray:1"))
    field = "spec.template.spec.containers[0].image: no"
    assert source.located(field, rendered["Deployment/demo-head"]) == field


def test_a_pod_that_is_tried_has_the_lines_of_its_group() -> None:
    source, rendered = objects()
    message = 'Pod "raystead-doctor-x" is invalid: spec.containers[1].env[0].name: no'
    pod = rendered["Deployment/demo-head"]["spec"]["template"]
    assert (
        source.located_in_pod(message, HEAD, pod) == f"ray.yaml:23:13: {HEAD_CONTAINERS}[1].env[0].name: no"
    )
    assert source.located_in_pod("spec.hostname: no", worker("gone"), pod) == "spec.hostname: no"


JOB = """\
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: demo
spec:
  entrypoint: python -V
  submitterPodTemplate:
    spec:
      restartPolicy: Never
      containers:
      - name: submitter
        image: rayproject/ray:2.60.0
        workingDir: 0
  rayClusterSpec:
    headGroupSpec:
      template:
        spec:
          containers:
          - name: ray-head
            image: rayproject/ray:2.60.0
            stdinOnce: true
"""


def test_a_jobs_cluster_and_submitter_are_found_in_its_document() -> None:
    source, rendered = objects(JOB.replace("        workingDir: 0\n", '        workingDir: "0"\n'))
    job = source.located("spec.template.spec.containers[0].workingDir: no", rendered["Job/demo"])
    assert job == "ray.yaml:13:9: spec.submitterPodTemplate.spec.containers[0].workingDir: no"
    head = source.located("spec.template.spec.containers[0].stdinOnce: no", rendered["Deployment/demo-head"])
    path = "spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].stdinOnce"
    assert head == f"ray.yaml:21:13: {path}: no"
