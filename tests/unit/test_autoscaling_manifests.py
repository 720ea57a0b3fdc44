"""An autoscaled cluster: what is rendered, who may have one, and what its groups are said to have and want."""

from __future__ import annotations

import json
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import explain_kit as kit
import pytest
import yaml

from raystead.base.groups import worker
from raystead.errors import SpecError
from raystead.live.groups import Group, groups
from raystead.live.makers import makers_of
from raystead.live.pods import pods_of
from raystead.live.steward import StewardMaker
from raystead.manifests.autoscaling import account_for_steward, steward_config
from raystead.manifests.context import Context
from raystead.manifests.facts import Facts
from raystead.manifests.render import manifests
from raystead.ops import facts as asking
from raystead.ops import secrets
from raystead.ops.certificate import certificate
from raystead.spec.flags import Flags, build
from raystead.spec.jobrules import job_problems
from raystead.spec.model import RayCluster, read
from raystead.spec.rayjob import RayJob

Json = dict[str, Any]
FACTS = Facts(namespace="ns", anchor_uid="u")
DOCUMENT = """
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: demo}
spec:
  rayVersion: 2.60.0
  enableInTreeAutoscaling: true
  headGroupSpec:
    template: {spec: {containers: [{name: ray, image: "rayproject/ray:2.60.0", resources: {limits: {cpu: "1", memory: 2Gi}}}]}}
  workerGroupSpecs:
  - groupName: small
    minReplicas: 1
    maxReplicas: 4
    template: {spec: {containers: [{name: ray, image: "rayproject/ray:2.60.0", resources: {limits: {cpu: "1", memory: 1Gi}}}]}}
"""


def spec(**changed: Any) -> RayCluster:
    document = yaml.safe_load(DOCUMENT)
    document["spec"] |= changed
    return read(RayCluster, document)


def rendered(cluster: RayCluster, facts: Facts = FACTS) -> dict[tuple[str, str], Json]:
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests(cluster, facts)}


def head_of(objects: dict[tuple[str, str], Json]) -> dict[str, Json]:
    pod = objects["Deployment", "demo-head"]["spec"]["template"]["spec"]
    return {container["name"]: container for container in pod["containers"]}


def env_of(container: Json) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_an_autoscaled_group_has_no_deployment_and_its_head_two_sidecars() -> None:
    objects = rendered(spec())
    assert [name for kind, name in objects if kind == "Deployment"] == ["demo-head"]
    head = head_of(objects)
    assert list(head) == ["ray", "autoscaler", "steward"]
    assert " --no-monitor" in head["ray"]["args"][0]
    assert env_of(head["autoscaler"])["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    kinds = {kind for kind, _ in objects}
    assert {"ServiceAccount", "Role", "RoleBinding", "ConfigMap"} <= kinds
    assert {kind for kind, _ in rendered(spec(enableInTreeAutoscaling=False))} == {
        "Deployment", "NetworkPolicy", "Service",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "value"), [({"version": "v2"}, "1"), ({"version": "v1"}, "0"), ({}, None)]
)
def test_the_version_of_the_autoscaler_is_the_files_or_rays_own(options: Json, value: str | None) -> None:
    head = head_of(rendered(spec(autoscalerOptions=options)))
    for name in ("ray", "autoscaler"):
        assert env_of(head[name]).get("RAY_enable_autoscaler_v2") == value


@pytest.mark.parametrize("field", ["command", "args"])
def test_a_command_of_the_files_own_may_start_the_autoscaler_by_kuberays_variable(field: str) -> None:
    own = ["echo here; $KUBERAY_GEN_AUTOSCALER_START_CMD"]
    container = head_of(rendered(spec(autoscalerOptions={field: own})))["autoscaler"]
    assert container[field] == own
    names = list(env_of(container))
    start = env_of(container)["KUBERAY_GEN_AUTOSCALER_START_CMD"]
    assert start.startswith("ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) ")
    used = [names.index(name) for name in ("RAY_CLUSTER_NAME", "RAY_CLUSTER_NAMESPACE")]
    assert max(used) < names.index("KUBERAY_GEN_AUTOSCALER_START_CMD")  # else $(NAME) is left as it stands


def test_the_autoscaler_reaches_a_gcs_at_another_port() -> None:
    document = yaml.safe_load(DOCUMENT)
    document["spec"]["headGroupSpec"]["rayStartParams"] = {"port": "6380"}
    head = head_of(rendered(read(RayCluster, document)))
    assert head["autoscaler"]["args"][0].endswith("--gcs-address 127.0.0.1:6380")
    assert "--gcs-address" not in head_of(rendered(spec()))["autoscaler"]["args"][0]


def test_only_the_steward_has_the_accounts_token_and_only_rights_that_it_needs() -> None:
    objects = rendered(spec())
    pod = objects["Deployment", "demo-head"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    having = [
        container["name"]
        for container in pod["containers"]
        if any(mount["name"] == "raystead-account" for mount in container["volumeMounts"])
    ]
    assert having == ["steward"]
    rules = objects["Role", "raystead-demo-steward"]["rules"]
    assert rules[1]["resourceNames"] == ["raystead-demo-steward"]
    assert [rule["resources"] for rule in rules] == [["pods"], ["configmaps"]]


def test_a_service_account_of_the_file_is_the_stewards() -> None:
    cluster = build(Flags(service_account="mine"), spec())
    objects = rendered(cluster)
    assert ("ServiceAccount", "raystead-demo-steward") not in objects
    assert objects["RoleBinding", "raystead-demo-steward"]["subjects"][0]["name"] == "mine"
    given = rendered(cluster, replace(FACTS, steward="account"))
    assert {kind for kind, _ in given}.isdisjoint({"Role", "RoleBinding", "ServiceAccount"})


def test_containers_of_ours_have_limits_and_are_hardened_where_the_namespace_wants_it() -> None:
    head = head_of(rendered(spec(), replace(FACTS, restricted=True)))
    for name in ("autoscaler", "steward"):
        assert set(head[name]["resources"]["limits"]) == {"cpu", "memory"}
        assert head[name]["securityContext"]["allowPrivilegeEscalation"] is False


def test_an_isolated_head_may_reach_the_api_server() -> None:
    policy = rendered(spec(), replace(FACTS, isolated=True))["NetworkPolicy", "demo-head"]
    ports = [p["port"] for rule in policy["spec"]["egress"] for p in rule.get("ports", ())]
    assert {443, 6443} <= set(ports)


def test_a_pod_of_the_steward_is_a_worker_of_the_cluster_that_is_never_restarted_in_place() -> None:
    pod = json.loads(steward_config(Context(spec(), FACTS))["data"]["pods.json"])["small"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert (
        pod["metadata"]["labels"] | {"ray.io/group": "small", "raystead.io/cluster": "demo"}
        == pod["metadata"]["labels"]
    )
    assert [owner["uid"] for owner in pod["metadata"]["ownerReferences"]] == ["u"]


# flags


def test_autoscale_takes_bounds_for_the_only_group() -> None:
    cluster = build(Flags(autoscale=True, least=0, most=7))
    (group,) = cluster.spec.workers
    assert (group.replicas, group.min_replicas, group.max_replicas) == (0, 0, 7)
    assert cluster.spec.enable_in_tree_autoscaling
    assert cluster.spec.autoscaler_options == {"version": "v2"}
    assert build(Flags(autoscale=True)).spec.workers[0].max_replicas == 10
    more = build(Flags(most=9), cluster)
    assert (more.spec.workers[0].min_replicas, more.spec.workers[0].max_replicas) == (0, 9)
    off = build(Flags(autoscale=False, workers=2), cluster)
    assert (off.spec.enable_in_tree_autoscaling, off.spec.autoscaler_options) == (False, None)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (Flags(least=1), "--min: it has an effect with --autoscale only"),
        (Flags(most=1), "--max: it has an effect with --autoscale only"),
        (Flags(autoscale=True, least=5, most=2), "no more than --max 2, got 5"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(flags: Flags, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(flags)
    assert words in caught.value.diagnostics()


# who may


class Server:
    """The answers to questions about our rights."""

    namespace = "ns"

    def __init__(self, *resources: str) -> None:
        self._rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": list(resources)}]

    def create(self, path: str, body: Json) -> Json:
        if path.endswith("selfsubjectrulesreviews"):
            return {"status": {"resourceRules": self._rules}}
        return {"status": {"allowed": False}}


ADMIN, EDIT = ("roles", "rolebindings", "serviceaccounts"), ("serviceaccounts",)


@pytest.mark.parametrize(
    ("rights", "named", "before", "rung"),
    [
        (ADMIN, True, "client", "role"),
        (ADMIN, False, "role", "role"),
        (ADMIN, False, "account", "role"),
        (ADMIN, False, "", "role"),
        (ADMIN, True, "", "role"),
        (ADMIN, False, "client", "client"),
        (("roles", "rolebindings"), True, "", "role"),
        (EDIT, True, "", "account"),
        (EDIT, True, "client", "account"),
        (EDIT, False, "role", "account"),
        (EDIT, False, "account", "account"),
        (EDIT, False, "client", "client"),
        (EDIT, False, "", "client"),
    ],
)
def test_whose_rights_the_steward_gets(rights: tuple[str, ...], named: bool, before: str, rung: str) -> None:
    cluster = build(Flags(service_account="mine"), spec()) if named else spec()
    server: Any = Server(*rights)
    assert asking.steward(server, cluster, before) == rung


def test_a_steward_gets_rights_where_they_are_asked_for_and_may_be_given() -> None:
    for rights, rung in ((ADMIN, "role"), (EDIT, "client")):
        server: Any = Server(*rights)
        assert asking.steward(server, spec(), "client", anew=True) == rung


def test_who_might_give_rights_is_told_how_and_what_it_costs() -> None:
    (told,) = asking.notes_on_steward("client", "client", "demo", "ns", "role")
    assert "`raystead up --name demo --autoscale` (restarts the head)" in told
    (moved,) = asking.notes_on_steward("client", "role", "demo", "ns")
    assert "for which the head restarts" in moved
    assert "Without --autoscale and --service-account it stays as it is" in moved


def test_autoscale_typed_for_a_cluster_that_does_changes_nothing_of_its_spec() -> None:
    first = spec()
    assert build(Flags(autoscale=True), first) == first


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("", "role", ""),
        ("role", "account", ""),
        ("client", "client", ""),
        ("", "client", "--service-account raystead-demo-autoscaler"),
        ("client", "account", "not needed any more"),
    ],
)
def test_what_there_is_to_run_or_to_ask_for_is_told_once(before: str, now: str, words: str) -> None:
    told = " ".join(asking.notes_on_steward(before, now, "demo", "ns"))
    assert words in told
    assert bool(words) == bool(told)


def test_a_steward_without_rights_gets_no_account_and_relays() -> None:
    objects = rendered(spec(), replace(FACTS, steward="client", isolated=True))
    assert not [key for key in objects if key[0] in ("Role", "RoleBinding", "ServiceAccount")]
    pod = objects["Deployment", "demo-head"]["spec"]["template"]["spec"]
    assert "serviceAccountName" not in pod
    assert not [v for v in pod["volumes"] if "serviceAccountToken" in json.dumps(v)]
    containers = head_of(objects)
    assert {"name": "AUTOSCALER_MAX_NUM_FAILURES", "value": "1000000000"} in containers["autoscaler"]["env"]
    config = objects["ConfigMap", "raystead-demo-steward"]["data"]
    assert json.loads(config["steward.json"])["acts"] == "client"
    assert "relay.py" in config
    policies = json.dumps([item for (kind, _), item in objects.items() if kind == "NetworkPolicy"])
    assert '"port": 6443' not in policies


def test_what_an_administrator_is_asked_for_is_what_the_stewards_own_role_would_be() -> None:
    account, role, binding = account_for_steward("demo", "ns")
    own = rendered(spec())["Role", "raystead-demo-steward"]
    assert role["rules"] == own["rules"]
    assert account["metadata"] == {"name": "raystead-demo-autoscaler", "namespace": "ns"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account["metadata"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_the_secret_of_the_steward_has_a_certificate_that_its_own_authority_trusts(tmp_path: Path) -> None:
    (needed,) = [one for one in secrets.needed(spec(), FACTS, None) if one.certificate]
    assert set(needed.shape("demo")["data"]) == {"tls.pem", "ca.crt", "token"}
    made = certificate()
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.pem")
    assert ssl.create_default_context(cafile=str(tmp_path / "ca.crt")).get_ca_certs()
    assert "PRIVATE KEY" not in made["ca.crt"]


# what its groups have and want


def keeper(cluster: RayCluster, *names: str, refused: str = "") -> Json:
    """The steward's ConfigMap, with a state where names are given."""
    out = steward_config(Context(cluster, FACTS))
    out["metadata"]["creationTimestamp"] = kit.ago(60)
    if names:
        state = {
            "version": 3,
            "groups": {"small": {"replicas": len(names), "delete": [], "names": list(names)}},
        }
        out["data"]["state"] = json.dumps(state)
    if refused:
        told = {"small": {"text": refused, "most": 1, "at": kit.ago(5)}}
        out["data"]["refusals"] = json.dumps(told)
    return out


def workers(config: Json, *names: str, image: str | None = None, ready: bool = True) -> list[Json]:
    template = json.loads(config["data"]["pods.json"])["small"]["metadata"]
    stamp = {"raystead.io/template": "old"} if image else template["annotations"]
    metadata = {
        "labels": template["labels"],
        "annotations": stamp,
        "ownerReferences": template["ownerReferences"],
    }
    return [kit.pod("worker", name, metadata=metadata, ready=ready, age=60) for name in names]


def group(config: Json, pods: list[Json], cluster: RayCluster) -> Group:
    found = groups(cluster, makers_of(config), pods_of(pods))
    return next(one for one in found if one.id == worker("small"))


def test_other_config_maps_keep_no_pods() -> None:
    assert makers_of({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"pods.json": "{}"}}) == ()
    assert [type(maker) for maker in makers_of(keeper(spec()))] == [StewardMaker]


@pytest.mark.parametrize(
    ("names", "pods", "asked", "done"),
    [
        ((), (), 1, False),
        ((), ("a",), 1, True),
        (("a", "b"), ("a",), 2, False),
        (("a", "b"), ("a", "b"), 2, True),
        (("a", "b"), ("a", "b", "c"), 2, True),  # c is on its way out
    ],
)
def test_a_group_is_done_when_what_the_autoscaler_wants_is_ready(
    names: tuple[str, ...], pods: tuple[str, ...], asked: int, done: bool
) -> None:
    config = keeper(spec(), *names)
    one = group(config, workers(config, *pods), spec())
    assert (one.asked, one.done) == (asked, done)
    assert (one.wanted.least, one.wanted.most) == (1, 4)


def test_pods_of_an_older_template_are_outdated_and_a_refusal_is_told() -> None:
    config = keeper(spec(), "a", "b", refused="exceeded quota: pods")
    one = group(config, workers(config, "a", image="old"), spec())
    assert len(one.outdated) == 1
    refusal = one.refusal()
    assert refusal is not None
    assert (refusal.message, refusal.missing) == ("exceeded quota: pods", 1)
    assert group(config, workers(config, "a", "b"), spec()).refusal() is None


@pytest.mark.parametrize(
    ("after", "cost"),
    [
        (spec(), (0, 0)),
        (spec(workerGroupSpecs=[{**yaml.safe_load(DOCUMENT)["spec"]["workerGroupSpecs"][0], "maxReplicas": 1}]), (0, 2)),
        (spec(rayVersion="2.61.0", authOptions={"mode": "disabled"}), (3, 0)),
        (None, (0, 3)),
    ],
)  # fmt: skip
def test_what_a_change_costs_is_known_from_the_pods(after: RayCluster | None, cost: tuple[int, int]) -> None:
    config = keeper(spec(), "a", "b", "c")
    (before,) = makers_of(config)
    new = next(iter(makers_of(keeper(after))), None) if after else None
    found = before.cost(new, ["data.pods.json"], anew=False, pods=pods_of(workers(config, "a", "b", "c")))
    assert (found.restarts, found.stops) == cost


def test_a_rayjobs_keeper_owns_the_steward_and_the_pods_that_it_makes() -> None:
    document = yaml.safe_load(DOCUMENT)
    body = {"entrypoint": "true", "shutdownAfterJobFinishes": True, "rayClusterSpec": document["spec"]}
    job = read(RayJob, {"metadata": {"name": "demo"}, "spec": body})
    assert not list(job_problems(job))
    facts = replace(FACTS, keepers={"cluster": "keeper-uid"})
    objects = {(item["kind"], item["metadata"]["name"]): item for item in manifests(job, facts)}
    config = objects["ConfigMap", "raystead-demo-steward"]
    pod = json.loads(config["data"]["pods.json"])["small"]
    for item in (config, pod, objects["Deployment", "demo-head"]):
        assert [one["uid"] for one in item["metadata"]["ownerReferences"]] == ["keeper-uid"]
    assert json.loads(config["data"]["steward.json"])["owner"] == "keeper-uid", (
        "it knows its own pods by that"
    )
    assert objects["Job", "demo"]["metadata"]["ownerReferences"][0]["uid"] == "u", (
        "the output outlives the cluster"
    )
