"""What doctor says, case by case: objects and the server's answers in, checks out."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from raystead.base import labels
from raystead.base.groups import worker
from raystead.doctor import admission, images, limits, network, nodes, probe, quota, state, taken, versions
from raystead.doctor.amounts import effective, shown
from raystead.doctor.judge import judge, standing_in_the_way
from raystead.doctor.model import Check, Client, Observations
from raystead.doctor.rights import NeededRights, check, needed, role
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.manifests.render import manifests
from raystead.spec.flags import Flags, build
from raystead.spec.model import RayCluster, read
from raystead.ui.doctor import examined_text

Json = dict[str, Any]
EMPTY = ("pods", "quotas", "limitranges", "policies", "deployments", "statefulsets", "services", "claims")


def seen(
    flags: Flags | None = None,
    *,
    facts: Facts | None = None,
    choices: Choices = NO_CHOICES,
    spec: RayCluster | None = None,
    **more: Any,
) -> Observations:
    """An empty namespace in which the built-in cluster, or that of `spec`, is to be."""
    cluster = spec or build(flags or Flags())
    facts = facts or Facts(namespace="team")
    told = dict.fromkeys(EMPTY, ()) | {"version": "1.36", "default_class": "fast"} | more
    objects = tuple(manifests(cluster, facts, choices))
    client = told.pop("client", Client("0.1.0"))
    return Observations(
        cluster=cluster,
        facts=facts,
        choices=choices,
        up="raystead up",
        client=client,
        objects=objects,
        **told,
    )


def one(checks: Any) -> Check:
    found = list(checks)
    assert len(found) == 1, found
    return found[0]


def named(kind: str, name: str, spec: Json | None = None, **labels: str) -> Json:
    return {"kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec or {}}


def a_quota(hard: Json, used: Json | None = None, **spec: Any) -> Json:
    status = {"hard": hard, "used": used or {}}
    return {
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": hard, **spec},
        "status": status,
    }


PRIORITY = {"scopeName": "PriorityClass"}

# -- quotas -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hard", "used", "flags", "verdict", "words", "remedy"),
    [
        # Redis 100m, head 500m, two workers 500m each
        ({"requests.cpu": "1600m"}, {}, Flags(), "ok", "needs 1.6 of requests.cpu, 1.6 left", ""),
        (
            {"requests.cpu": "1500m"}, {}, Flags(), "fail",
            "needs 1.6 of requests.cpu, 1.5 left: 1 of 2 pods of worker will be refused",
            "raystead up --workers 1",
        ),
        (
            {"cpu": "4"}, {"cpu": "3"}, Flags(), "fail",
            "needs 1.6 of cpu, 1 left: 2 of 2 pods of worker will be refused", "to cpu ≥ 4.6",
        ),
        ({"limits.memory": "4Gi"}, {}, Flags(), "fail", "of limits.memory, 4Gi left: 1 of 2 pods", "--workers 1"),
        ({"pods": "3"}, {}, Flags(), "fail", "needs 4 of pods, 3 left: 1 of 2 pods", "--workers 1"),
        ({"requests.cpu": "50m"}, {}, Flags(), "fail", "Redis and the head and 2 of 2", "≥ 1.6"),
        ({"requests.nvidia.com/gpu": "1"}, {}, Flags(gpus=1), "fail", "1 left: 1 of 2 pods", "--workers 1"),
        ({"requests.nvidia.com/gpu": "0"}, {}, Flags(), "ok", "counts nothing", ""),
        ({"count/pods": "9", "requests.cpu": "0"}, {}, Flags(), "fail", "0 left", "requests.cpu ≥ 1.6"),
        ({"services.loadbalancers": "0"}, {}, Flags(), "ok", "counts nothing", ""),
    ],
)  # fmt: skip
def test_a_quota_says_who_will_be_refused(
    hard: Json, used: Json, flags: Flags, verdict: str, words: str, remedy: str
) -> None:
    said = one(quota.check(seen(flags, quotas=(a_quota(hard, used),))))
    assert said.verdict == verdict
    assert words in said.what
    assert remedy in said.remedy


@pytest.mark.parametrize(
    ("scopes", "counted"),
    [
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["NotTerminating", "BestEffort"]}, False),
        ({"scopeSelector": {"matchExpressions": [PRIORITY | {"operator": "In", "values": ["high"]}]}}, False),
        ({"scopeSelector": {"matchExpressions": [PRIORITY | {"operator": "NotIn", "values": ["high"]}]}}, True),
        ({"scopeSelector": {"matchExpressions": [PRIORITY | {"operator": "DoesNotExist"}]}}, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
        ({"scopes": ["OfTheFuture"]}, False),
    ],
)  # fmt: skip
def test_a_quota_with_scopes_counts_only_their_pods(scopes: Json, counted: bool) -> None:
    said = one(quota.check(seen(quotas=(a_quota({"pods": "0"}, **scopes),))))
    assert (said.verdict == "fail") == counted


def test_what_the_running_cluster_uses_is_its_own() -> None:
    pods = tuple(
        {**group.pod, "kind": "Pod", "metadata": {**group.pod["metadata"], "name": f"p-{group.group}-{n}"}}
        for group in seen().groups
        for n in range(group.wanted)
    )
    tight = a_quota({"requests.cpu": "2"}, {"requests.cpu": "2"})  # 1.6 of ours, 400m of others
    assert one(quota.check(seen(quotas=(tight,), pods=pods))).verdict == "ok"
    assert one(quota.check(seen(quotas=(tight,)))).verdict == "fail"
    ended = tuple({**pod, "status": {"phase": "Failed"}} for pod in pods)
    assert one(quota.check(seen(quotas=(tight,), pods=ended))).verdict == "fail"


@pytest.mark.parametrize(
    ("hard", "words"),
    [
        ({"services": "1"}, "needs 2 more of services, 1 left"),
        ({"count/deployments.apps": "0"}, "needs 2 more of count/deployments.apps, 0 left"),
        ({"persistentvolumeclaims": "0"}, "needs 1 more of persistentvolumeclaims, 0 left"),
        ({"requests.storage": "512Mi"}, "needs 1Gi more of requests.storage, 512Mi left"),
        ({"configmaps": "1"}, "needs 2 more of configmaps, 1 left"),
        ({"secrets": "1"}, "needs 2 more of secrets, 1 left"),
    ],
)
def test_a_quota_of_objects(hard: Json, words: str) -> None:
    secrets = {"ray-cluster": None, "raystead-ray-cluster-redis": None}
    found = list(quota.check(seen(quotas=(a_quota(hard),), secrets=secrets)))
    assert words in found[0].what
    assert found[0].verdict == "fail"


def test_two_quotas_are_two_answers() -> None:
    few = {**a_quota({"pods": "3"}), "metadata": {"name": "few"}}
    found = {c.what.split("`")[1]: c.verdict for c in quota.check(seen(quotas=(a_quota({"cpu": "9"}), few)))}
    assert found == {"q": "ok", "few": "fail"}


def test_quotas_that_may_not_be_read_are_unknown() -> None:
    said = one(quota.check(seen(quotas=None, unread={"quotas": "you may not list resourcequotas"})))
    assert (said.verdict, said.evidence) == ("unknown", "you may not list resourcequotas")


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        ({"containers": [{"resources": {"limits": {"cpu": "1"}}}]}, "1"),
        ({"containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"limits": {"cpu": "2"}}}]}, "3"),
        ({"containers": [], "initContainers": [{"resources": {"requests": {"cpu": "4"}}}]}, "4"),
        (
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [
                    {"restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}},
                    {"resources": {"requests": {"cpu": "3"}}},
                ],
                "overhead": {"cpu": "250m"},
            },
            "5.25",
        ),
        ({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "resources": {"requests": {"cpu": "6"}}}, "6"),
    ],
)  # fmt: skip
def test_a_pod_asks_for_what_kubernetes_counts(spec: Json, requests: str) -> None:
    assert effective(spec, "requests")["cpu"] == Decimal(requests)


@pytest.mark.parametrize(
    ("resource", "value", "text"),
    [
        ("cpu", "1.5", "1.5"),
        ("requests.cpu", "10", "10"),
        ("memory", str(8 * 2**30), "8Gi"),
        ("memory", "2000000000", "2G"),
        ("pods", "3", "3"),
    ],
)
def test_amounts_as_people_write_them(resource: str, value: str, text: str) -> None:
    assert shown(resource, Decimal(value)) == text


# -- limits -----------------------------------------------------------------------------------------------


def a_range(**rules: Any) -> Json:
    return {"metadata": {"name": "lim"}, "spec": {"limits": [{"type": "Container", **rules}]}}


@pytest.mark.parametrize(
    ("rules", "groups", "words", "remedy"),
    [
        ({"max": {"cpu": "1"}}, 0, "", ""),
        ({"max": {"cpu": "800m"}}, 3, "the limit of cpu 1 is over the maximum 800m", "raystead up --worker-cpu 0.8\n"),
        ({"min": {"memory": "2Gi"}}, 3, "memory 1G is under the minimum 2Gi", "--worker-memory 2Gi"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, 1, "10 times its request, allowed are 2", "administrator"),
        ({"max": {"nvidia.com/gpu": "1"}}, 3, "nvidia.com/gpu must have a limit", "administrator"),
        ({"type": "Pod", "max": {"memory": "1500M"}}, 1, "the whole pod: the limit of memory 2G", "--head-memory 1500M"),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "500Mi"}}, 1, "claim data", ""),
    ],
)  # fmt: skip
def test_a_limit_range_refuses_sizes(rules: Json, groups: int, words: str, remedy: str) -> None:
    found = [c for c in limits.check(seen(limitranges=(a_range(**rules),))) if c.verdict == "fail"]
    assert len(found) == groups
    assert not groups or any(words in c.what and remedy in c.remedy for c in found), found


def test_what_a_limit_range_gives_counts_for_the_quota() -> None:
    pod = {"spec": {"containers": [{"name": "a"}]}}
    filled = limits.with_defaults(pod, (a_range(default={"cpu": "2"}, defaultRequest={"cpu": "1"}),))
    assert effective(filled["spec"], "requests")["cpu"] == 1
    assert effective(filled["spec"], "limits")["cpu"] == 2


# -- admission --------------------------------------------------------------------------------------------

SECURITY = (
    'pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged (container "ray-worker" '
    "must not set securityContext.privileged=true)"
)


@pytest.mark.parametrize(
    ("answer", "name", "verdict", "words"),
    [
        ({"spec": {}}, "admission", "ok", "accepts a pod of each group"),
        (SECURITY, "pod security", "fail", "PodSecurity `restricted` refuses 2 pods: privileged"),
        ('admission webhook "guard.example.com" denied the request: no', "admission", "fail", "guard.example.com"),
        ('failed calling webhook "guard": timeout', "admission", "fail", "cannot be reached"),
        ('serviceaccount "bob" not found', "admission", "fail", "ServiceAccount bob does not exist"),
        ("exceeded quota: q, requested: cpu=1, used: cpu=0, limited: cpu=0", "admission", "ok", "accepts"),
        ('Pod "x" is invalid: spec.containers[0].image', "admission", "fail", "is invalid"),
    ],
)  # fmt: skip
def test_the_servers_refusal_in_the_words_of_explain(
    answer: Json | str, name: str, verdict: str, words: str
) -> None:
    rest = {group.group: group.pod for group in seen().groups}
    if isinstance(answer, dict):
        answer = rest[worker("worker")]
    said = one(admission.check(seen(admission={**rest, worker("worker"): answer})))
    assert (said.name, said.verdict) == (name, verdict)
    assert words in said.what


def test_a_limit_range_hides_what_comes_after_it() -> None:
    rest = {group.group: group.pod for group in seen().groups}
    text = 'pods "x" is forbidden: maximum cpu usage per Container is 500m, but limit is 1'
    here = seen(limitranges=(a_range(max={"cpu": "500m"}),), admission={**rest, worker("worker"): text})
    assert one(admission.check(here)).verdict == "unknown"


def test_without_the_right_to_make_pods_nothing_is_claimed() -> None:
    assert one(admission.check(seen())).verdict == "unknown"


# -- network ----------------------------------------------------------------------------------------------


def policy(name: str, **spec: Any) -> Json:
    return {"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": {"podSelector": {}, **spec}}


DENY = policy("deny", policyTypes=["Ingress", "Egress"])
ISOLATED = Facts(namespace="team", isolated=True)


@pytest.mark.parametrize(
    ("policies", "facts", "verdict", "words"),
    [
        ((), Facts(namespace="team"), "ok", "no other NetworkPolicy"),
        ((DENY,), ISOLATED, "warn", "egress and ingress restricted here (deny): policies will be added"),
        (
            (DENY,), (ISOLATED, Choices(policies="never")), "fail",
            "worker to the head (deny); worker to DNS (deny); the head to Redis (deny)",
        ),
        ((policy("in"),), Facts(namespace="team"), "warn", "ingress restricted here (in)"),
        ((policy("in"),), (Facts(namespace="team"), Choices(policies="never")), "fail", "worker to the head (in)"),
        ((policy("x", podSelector={"matchLabels": {"app": "web"}}),), Facts(namespace="team"), "ok", "no other Network"),
        ((policy("web", podSelector={"matchLabels": {"type": "ray"}}),), Facts(namespace="team"), "warn", "(web)"),
    ],
)  # fmt: skip
def test_isolation(
    policies: tuple[Json, ...], facts: Facts | tuple[Facts, Choices], verdict: str, words: str
) -> None:
    known, choices = facts if isinstance(facts, tuple) else (facts, NO_CHOICES)
    said = one(network.check(seen(facts=known, choices=choices, policies=policies)))
    assert said.verdict == verdict
    assert words in said.what
    assert said.verdict == "fail" or "cannot be seen" in said.evidence


# -- names ------------------------------------------------------------------------------------------------

RAY = {"ray.io/cluster": "ray-cluster"}
OURS = {"raystead.io/cluster": "ray-cluster"}


@pytest.mark.parametrize(
    ("there", "verdict", "words"),
    [
        ({}, "ok", "nobody else"),
        ({"pods": (named("Pod", "x", **RAY),)}, "fail", 'another Ray cluster are called "ray-cluster"'),
        ({"pods": (named("Pod", "x", **RAY, **OURS),)}, "ok", "nobody else"),
        ({"raycluster": {"metadata": {"name": "ray-cluster"}}}, "fail", 'KubeRay has a RayCluster "ray-cluster"'),
        ({"services": (named("Service", "redis"),)}, "fail", "Service/redis exists and this cluster did not make"),
        ({"services": (named("Service", "redis", **OURS),)}, "ok", "nobody else"),
        ({"deployments": (named("Deployment", "deployment-ray-head"),)}, "fail", "Deployment/deployment-ray-head"),
        ({"pods": (named("Pod", "mine", app="redis"),)}, "ok", "nobody else"),
        ({"pods": (named("Pod", "x", app="ray-cluster-head"),)}, "fail", "Service/service-ray-cluster would also sel"),
        ({"pods": (named("Pod", "x", app="ray-cluster-worker"),)}, "fail", "NetworkPolicy/ray-worker-ingress would also"),
        ({"services": (named("Service", "cache", {"selector": {"app": "redis"}}),)}, "warn", "also send to redis"),
        ({"services": None}, "unknown", "Service"),
    ],
)  # fmt: skip
def test_names_and_labels_in_use(there: Json, verdict: str, words: str) -> None:
    said = one(taken.check(seen(**there)))
    assert said.verdict == verdict
    assert words in said.what


def service(**selector: str) -> Json:
    return {"kind": "Service", "metadata": {"name": "a"}, "spec": {"selector": selector}}


def guarding(**selector: str) -> Json:
    spec = {"podSelector": {"matchLabels": selector}}
    return {"kind": "NetworkPolicy", "metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize(
    "objects, asked",
    [
        ([], []),
        ([service(app="a"), guarding(app="b"), guarding(app="a")], ["app in (a,b)"]),
        ([service(app="a"), service(app="b", role="x"), guarding(app="b")], ["app in (a,b)"]),
        ([service(role="x", app="a"), service(zone="1")], ["zone in (1)", "app=a,role=x"]),
        ([service(**{"app": "redis", "raystead.io/cluster": "c"}), guarding()], []),
    ],
)
def test_pods_of_others_are_looked_for_in_few_requests(objects: list[Json], asked: list[str]) -> None:
    assert taken.selectors(objects) == asked


# -- images, state, versions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("rayproject/ray:2.60.0-py311", ""),
        ("registry.example.com:5000/team/ray@sha256:" + "a" * 64, ""),
        ("localhost/ray", ""),
        ("ray", ""),
        ("Rayproject/ray:2.60.0", "in lower case"),
        ("https://registry.example.com/ray", "without https://"),
        ("rayproject/ray:", "its tag is empty"),
        ("rayproject/ray:a b", "blanks"),
        ("rayproject/ray:2.60.0+cu12", "its tag"),
        ("rayproject//ray:1", "it is not"),
        ("", "it is empty"),
    ],
)
def test_references_of_images(image: str, why: str) -> None:
    assert why in images.wrong(image)
    assert bool(images.wrong(image)) == bool(why)


def test_a_slip_in_a_tag_is_named() -> None:
    said = one(images.check(seen(Flags(image="rayproject/ray:2.60.O"))))
    assert said.verdict == "warn"
    assert said.remedy == "raystead up --image rayproject/ray:2.60.0"


@pytest.mark.parametrize(
    ("flags", "facts", "verdict", "words"),
    [
        (Flags(), Facts(namespace="team"), "ok", "Redis on a volume of StorageClass fast"),
        (Flags(), Facts(namespace="team", has_default_storage=False), "warn", "in its pod alone"),
        (Flags(storage="none"), Facts(namespace="team"), "warn", "none is kept"),
        (Flags(storage="rocksdb"), Facts(namespace="team", has_default_storage=False), "fail", "RocksDB needs"),
    ],
)  # fmt: skip
def test_where_the_state_is(flags: Flags, facts: Facts, verdict: str, words: str) -> None:
    said = one(state.check(seen(flags, facts=facts)))
    assert said.verdict == verdict
    assert words in said.what


def test_a_claim_that_is_refused_is_no_missing_class() -> None:
    facts = Facts(namespace="team", has_default_storage=False)
    found = one(state.check(seen(facts=facts, default_class=None, claim_refused="exceeded quota: q")))
    assert (found.verdict, found.evidence) == ("warn", "a dry-run: exceeded quota: q")
    assert "StorageClass" not in found.what + found.remedy


def test_secrets_and_claims_that_the_pods_name() -> None:
    flags = Flags(pull_secret=("regcred",), mount=("data:/data",))
    asked = {"regcred": None, "ray-cluster": ("wrong",), "raystead-ray-cluster-redis": None}
    found = [c.what for c in state.check(seen(flags, secrets=asked)) if c.verdict == "fail"]
    assert any("Secret regcred is not there" in what for what in found)
    assert any("Secret ray-cluster is there and has no key auth_token" in what for what in found)
    assert any("mounts the claim data" in what for what in found)
    assert not any("raystead-ray-cluster-redis" in what for what in found)


IDLE = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: demo}
spec:
  headGroupSpec:
    template: {spec: {containers: [{name: ray, image: "rayproject/ray:2.60.0", resources: {limits: {cpu: "1"}}}]}}
  workerGroupSpecs:
  - groupName: gpu
    replicas: REPLICAS
    minReplicas: 0
    maxReplicas: 4
    template:
      spec:
        containers:
        - {name: ray, image: "rayproject/ray:2.60.0", resources: {limits: {cpu: "1"}}, envFrom: [{configMapRef: {name: settings}}]}
        volumes:
        - {name: data, persistentVolumeClaim: {claimName: data}}
        - name: keys
          projected: {sources: [{secret: {name: keys}}, {configMap: {name: may-lack, optional: true}}]}
"""


@pytest.mark.parametrize("autoscales", [False, True])
@pytest.mark.parametrize(("replicas", "verdict"), [(0, "warn"), (1, "fail")])
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"admission": 'pods "x" is forbidden: no PriorityClass with name rush was found'},
         "PriorityClass rush does not exist"),
        ({"admission": 'pods "x" is forbidden: pod rejected: RuntimeClass "nvidia" not found'},
         "RuntimeClass nvidia does not exist"),
        ({"admission": 'pods "x" is forbidden: error looking up service account team/a: serviceaccount "a" not found'},
         "ServiceAccount a does not exist"),
        ({"admission": 'Pod "x" is invalid: spec.hostname: Invalid value: "A_B": no'}, "spec.hostname"),
        ({"secrets": {"keys": None}}, "the Secret keys is not there"),
        ({"configs_missing": ("settings",)}, "the ConfigMap settings is not there"),
        ({}, "mounts the claim data, which is not there"),
    ],
)  # fmt: skip
def test_what_a_group_without_pods_will_lack_is_a_warning(
    told: Json, words: str, replicas: int, verdict: str, autoscales: bool
) -> None:
    document = yaml.safe_load(IDLE.replace("REPLICAS", str(replicas)))
    document["spec"]["enableInTreeAutoscaling"] = autoscales
    gpu = worker("gpu")
    more = {**told, "admission": {gpu: told["admission"]} if "admission" in told else {}}
    subject = seen(spec=read(RayCluster, document), facts=Facts(namespace="team", steward="client"), **more)
    whole = NeededRights((), {}, {}, None)
    for checks in (judge(subject, whole), standing_in_the_way(subject, {gpu})):
        found = [check for check in checks if words in check.what]
        assert [check.verdict for check in found] == [verdict]
        assert ("gpu has no pods yet; once it has: " in found[0].what) == (verdict == "warn")


@pytest.mark.parametrize(
    ("image", "server"),
    [("ghcr.io/team/ray:1", "ghcr.io"), ("r.corp:5000/ray:1", "r.corp:5000"), ("team/ray:1", "https://index.docker.io/v1/")],
)  # fmt: skip
def test_a_pull_secret_is_made_as_one(image: str, server: str) -> None:
    flags = Flags(pull_secret=("regcred",), image=image)
    (found,) = [c for c in state.check(seen(flags, secrets={"regcred": None})) if c.name == "secrets"]
    assert found.remedy.startswith(f"kubectl create secret docker-registry regcred --docker-server={server} ")


def test_the_secret_of_a_steward_is_made_and_not_missing() -> None:
    document = yaml.safe_load(IDLE.replace("REPLICAS", "0"))
    document["spec"]["enableInTreeAutoscaling"] = True
    facts, asked = Facts(namespace="team", steward="role"), {"raystead-demo-steward": None, "demo": None}
    checks = state.check(seen(spec=read(RayCluster, document), facts=facts, secrets=asked))
    assert [check for check in checks if check.verdict == "fail"] == []


@pytest.mark.parametrize(
    ("labels_", "replicas", "found"),
    [
        ({"gpu": "a100"}, 1, []),
        ({"gpu": "a100", "zone": "b"}, 0, []),
        ({"gpu": "h100"}, 1, ["gpu pod is to run on a node with gpu=a100, which no node has"]),
        ({}, 0, ["gpu has no pods yet; once it has: gpu pod is to run on a node with gpu=a100, which no node"]),
    ],
)  # fmt: skip
def test_a_node_that_nobody_has_is_a_warning(labels_: Json, replicas: int, found: list[str]) -> None:
    document = yaml.safe_load(IDLE.replace("REPLICAS", str(replicas)))
    document["spec"]["workerGroupSpecs"][0]["template"]["spec"]["nodeSelector"] = {"gpu": "a100"}
    allocatable = {"cpu": "64", "memory": "256Gi"}
    node = {"metadata": {"name": "n", "labels": labels_}, "status": {"allocatable": allocatable}}
    checks = list(nodes.check(seen(spec=read(RayCluster, document), nodes=(node,))))
    assert [check.verdict for check in checks] == ["warn"] * len(found)
    assert all(words in check.what for words, check in zip(found, checks, strict=True))


@pytest.mark.parametrize(
    ("version", "verdict"), [("1.18", "fail"), ("1.24", "warn"), ("1.25", "ok"), ("1.36", "ok"), ("1.45", "warn")]
)  # fmt: skip
def test_versions_of_kubernetes(version: str, verdict: str) -> None:
    server, _ = versions.check(seen(version=version))
    assert server.verdict == verdict


@pytest.mark.parametrize(
    ("client", "verdict", "words"),
    [
        (Client("0.1.0"), "ok", "needs none"),
        (Client("0.1.0", "3.11.2", "2.60.0", "/p"), "ok", "have 2.60.0"),
        (Client("0.1.0", "3.11.2", "2.58.1", "/p"), "warn", "your python has Ray 2.58.1: submit works"),
        (Client("0.1.0", "3.12.1", "2.60.0", "/p"), "warn", "Python 3.12.1 (the cluster's is 3.11)"),
    ],
)
def test_ray_of_the_client_against_the_clusters(client: Client, verdict: str, words: str) -> None:
    _, ray = versions.check(seen(client=client))
    assert ray.verdict == verdict
    assert words in ray.what


# -- rights -----------------------------------------------------------------------------------------------


def test_rights_one_line_or_one_each() -> None:
    rights = needed(build(Flags()))
    assert one(check(NeededRights(rights))).what == f"all {len(rights)} that this cluster needs"
    deploy = next(r for r in rights if r.resource == "deployments")
    events = next(r for r in rights if r.resource == "events")
    found = list(check(NeededRights(rights, {deploy: ("create", "patch"), events: ("list",)})))
    assert [c.verdict for c in found] == ["fail", "warn"]
    assert found[0].what.startswith("you may not create or patch deployments.apps")
    unsure = one(check(NeededRights(rights, {}, {deploy: ("create",)})))
    assert (unsure.verdict, unsure.remedy) == ("unknown", "kubectl auth can-i create deployments.apps")


def test_the_role_holds_every_right_and_nothing_more() -> None:
    rights = needed(build(Flags()))
    made, binding = role(NeededRights(rights, user="system:serviceaccount:ci:bot"), "team")
    got = {
        (g, r, v) for rule in made["rules"] for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
    }  # fmt: skip
    assert got == {(r.group, r.resource, v) for r in rights for v in r.verbs}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": "ci", "name": "bot"}]
    assert {("", "pods/exec", "get"), ("", "pods/exec", "create"), ("", "pods/portforward", "create")} <= got


# -- the probe --------------------------------------------------------------------------------------------

FINE = (
    '{"python": "3.11.2", "ray": "2.60.0", "dns": {"ok": true, "said": "10.0.0.1", "seconds": 0.01}, '
    '"egress": {"ok": true, "said": "", "seconds": 0.1}}'
)


def test_a_probe_is_no_node_of_the_cluster_and_passes_restricted() -> None:
    made = probe.job(seen(), "raystead-probe-1", 60)
    template = made["spec"]["template"]
    marks = {"app.kubernetes.io/managed-by": "raystead"}
    assert template["metadata"]["labels"] == {"app": "ray-cluster-worker", **marks}
    (container,) = template["spec"]["containers"]
    assert container["image"] == "rayproject/ray:2.60.0-py311"
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1G"}
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert "volumes" not in template["spec"]  # no Secret that `up` would only make
    assert made["spec"]["ttlSecondsAfterFinished"] == 60


def test_in_an_isolated_namespace_the_probe_has_the_policies_that_up_would_add() -> None:
    assert probe.policies(seen(), "p", "uid") == []
    (made,) = probe.policies(seen(facts=ISOLATED), "p", "uid")
    assert made["spec"]["podSelector"] == {"matchLabels": {"job-name": "p"}}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid"
    assert any(port["port"] == 53 for rule in made["spec"]["egress"] for port in rule.get("ports", []))
    assert probe.policies(seen(facts=ISOLATED, exists=True), "p", "uid") == [made]


@pytest.mark.parametrize("file", ["guide", "kuberay-minimal", "external-redis", "gpu-groups"])
def test_beside_a_living_cluster_nothing_of_it_selects_the_probe(file: str) -> None:
    """Else the head's Service would send Ray's traffic to it."""
    text = (Path(__file__).parents[1] / "golden" / f"{file}.in.yaml").read_text()
    spec = read(RayCluster, yaml.safe_load(text))
    there = seen(spec=spec, facts=ISOLATED, exists=True)
    found = probe.job(there, "p", 60)["spec"]["template"]["metadata"]["labels"]
    assert not [key for key in found if key != "app.kubernetes.io/managed-by"]
    selectors = [item["spec"].get("selector") for item in there.objects if item["kind"] == "Service"]
    selectors += [
        i["spec"]["podSelector"]["matchLabels"] for i in there.objects if i["kind"] == "NetworkPolicy"
    ]
    assert len(selectors) > 1
    assert not any(labels.matches({"matchLabels": one}, found) for one in selectors)


@pytest.mark.parametrize(
    ("change", "name", "verdict", "words"),
    [
        (("", ""), "image", "ok", "pulled in 12 s"),
        (('"ray": "2.60.0"', '"ray": "2.9.3"'), "ray", "warn", "the spec says Ray 2.60.0"),
        (('"ray": "2.60.0"', '"ray": null'), "ray", "fail", "no Ray"),
        (('"ok": true, "said": "10.0.0.1"', '"ok": false, "said": "gaierror"'), "dns", "fail", "do not resolve"),
        (('"egress": {"ok": true', '"egress": {"ok": false'), "egress", "warn", "pypi.org:443 cannot be reached"),
        (("}}", '}, "redis": {"ok": true, "said": "+PONG", "seconds": 0.002}}'), "state", "ok", "PONG in 2 ms"),
        (("}}", '}, "redis": {"ok": false, "said": "WRONGPASS", "seconds": 1}}'), "state", "fail", "the password"),
    ],
)  # fmt: skip
def test_what_a_probe_found(change: tuple[str, str], name: str, verdict: str, words: str) -> None:
    found = {c.name: c for c in probe.answered(seen(), FINE.replace(*change) if change[0] else FINE, 12.0)}
    assert found[name].verdict == verdict
    assert words in found[name].what


def test_a_probe_that_dies_is_a_sentence() -> None:
    said = one(probe.answered(seen(), "bash: not found", None))
    assert (said.verdict, said.evidence) == ("fail", "bash: not found")


# -- the table --------------------------------------------------------------------------------------------


def test_the_table_fits_the_terminal_and_says_it_in_words() -> None:
    from raystead.ops.doctor import Examined

    checks = (
        Check("rights", "ok", "all 15 that this cluster needs"),
        Check("quota", "fail", "needs " + "much " * 30, "resourcequota/q", "raystead up --workers 1\nor ask"),
        Check("network", "unknown", "may not be read"),
    )
    said = Examined("prod", "team", "1.36", "editor", "ray-cluster", checks, 19)
    text = examined_text(said, width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "✗ quota    problem: needs" in text
    assert text.splitlines()[-1] == "1 problem, 1 unknown"
    assert "do: raystead up --workers 1" in text


def test_yaml_of_the_role_is_what_kubectl_applies() -> None:
    text = yaml.safe_dump_all(role(NeededRights(needed(build(Flags()))), "team"))
    kinds = [document["kind"] for document in yaml.safe_load_all(text)]
    assert kinds == ["Role", "RoleBinding"]


def test_a_probe_of_ones_own_redis_has_its_certificates_and_nothing_else_mounted() -> None:
    container = {
        "name": "ray",
        "image": "rayproject/ray:2.60.0-py311",
        "env": [
            {"name": "RAY_REDIS_ADDRESS", "value": "rediss://r:6380"},
            {"name": "RAY_REDIS_CA_CERT", "value": "/certs/ca.pem"},
            {"name": "AWS_SECRET", "value": "x"},
        ],
        "volumeMounts": [{"name": "ca", "mountPath": "/certs"}, {"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "ca", "secret": {"secretName": "ca"}}, {"name": "data", "emptyDir": {}}]
    head = {"template": {"spec": {"containers": [container], "volumes": volumes}}}
    cluster = read(
        RayCluster, {"metadata": {"name": "mine"}, "spec": {"rayVersion": "2.60.0", "headGroupSpec": head}}
    )
    facts = Facts(namespace="team")
    here = Observations(cluster, facts, "raystead up", Client("0"), objects=tuple(manifests(cluster, facts)))
    spec = probe.job(here, "p", 60)["spec"]["template"]["spec"]
    assert [v["name"] for v in spec["volumes"]] == ["ca"]
    assert {e["name"] for e in spec["containers"][0]["env"]} == {"RAY_REDIS_ADDRESS", "RAY_REDIS_CA_CERT"}


def test_pods_that_the_namespace_ends_are_told_before_they_are_made() -> None:
    empty = seen()
    answers = {
        pods.group: {**pods.pod, "spec": {**pods.pod["spec"], "activeDeadlineSeconds": 21600}}
        for pods in empty.groups
    }
    found = [c for c in admission.check(seen(admission=answers)) if c.verdict == "warn"]
    assert [c.what for c in found] == [
        "pods end after 6 h here (redis, head, worker): what runs in them then is lost"
    ]
    assert not [
        c
        for c in admission.check(seen(admission={p.group: p.pod for p in empty.groups}))
        if c.verdict == "warn"
    ]
