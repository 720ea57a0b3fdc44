"""A RayJob as objects: who owns what, that an unchanged file changes nothing, and that `down` leaves nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from cli import Cli
from kube import Kube, until

pytestmark = pytest.mark.api
Json = dict[str, Any]


def rayjob(**spec: Any) -> str:
    container = {"image": "ray:none", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    group = {"template": {"spec": {"containers": [{"name": "ray", **container}]}}}
    body = {
        "entrypoint": "echo hello",
        "rayClusterSpec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": group,
            "workerGroupSpecs": [
                {"groupName": "small", "replicas": 1, "minReplicas": 1, "maxReplicas": 2, **group}
            ],
        },
        **spec,
    }
    head = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "train"}}
    return yaml.safe_dump({**head, "spec": body})


STAGES = {
    "deletionStrategy": {
        "deletionRules": [
            {"policy": policy, "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": ttl}}
            for policy, ttl in (("DeleteWorkers", 5), ("DeleteCluster", 10), ("DeleteSelf", 15))
        ]
    }
}


@pytest.fixture
def cli(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Cli:
    return Cli(as_user(namespace(quota={"pods": "0"}), "edit"))


def up(cli: Cli, text: str, *words: str, code: int = 0) -> str:
    done = cli("up", "-f", "-", "--wait=false", "--yes", *words, stdin=text, code=code)
    return done.stdout + done.stderr


def owner(user: Kube, kind: str, name: str) -> list[str]:
    refs = user.get(kind, name)["metadata"].get("ownerReferences") or []
    return [f"{ref['kind']}/{ref['name']}" for ref in refs]


def test_each_part_hangs_on_the_keeper_that_ends_it(cli: Cli) -> None:
    up(cli, rayjob(**STAGES))
    user = cli.user
    assert owner(user, "configmap", "raystead-train") == ["Job/raystead-train-self"]
    assert owner(user, "job", "train") == ["ConfigMap/raystead-train"]
    assert owner(user, "job", "raystead-train-cluster") == ["ConfigMap/raystead-train"]
    assert owner(user, "job", "raystead-train-workers") == ["Job/raystead-train-cluster"]
    assert owner(user, "deployment", "train-head") == ["Job/raystead-train-cluster"]
    assert owner(user, "deployment", "train-small-worker") == ["Job/raystead-train-workers"]
    assert owner(user, "service", "train-head-svc") == ["Job/raystead-train-cluster"]


def test_without_a_word_of_the_file_nothing_ends_by_itself(cli: Cli) -> None:
    up(cli, rayjob())
    assert owner(cli.user, "deployment", "train-head") == ["ConfigMap/raystead-train"]
    assert [job["metadata"]["name"] for job in cli.user.items("jobs")] == ["train"]


def test_an_unchanged_file_changes_nothing_and_a_running_job_is_not_changed(cli: Cli) -> None:
    text = rayjob(shutdownAfterJobFinishes=True)
    up(cli, text)
    before = {kind: versions(cli.user, kind) for kind in ("deployments", "jobs", "services", "configmaps")}
    up(cli, text)
    assert {kind: versions(cli.user, kind) for kind in before} == before
    told = up(cli, rayjob(shutdownAfterJobFinishes=True, entrypoint="echo other"), code=79)
    assert "a job that has begun is not changed" in told
    assert "raystead down train" in told


def versions(user: Kube, kind: str) -> dict[str, str]:
    return {i["metadata"]["name"]: spec_of(i) for i in user.items(kind)}


def spec_of(item: Json) -> str:
    return repr([item.get("spec"), item.get("data"), item["metadata"].get("ownerReferences")])


def test_down_leaves_nothing_of_it(cli: Cli) -> None:
    up(cli, rayjob(**STAGES))
    cli("down", "train", "--yes")
    for kind in ("jobs", "deployments", "services", "networkpolicies", "secrets", "pods"):
        assert cli.user.items(kind) == [], kind
    assert [i["metadata"]["name"] for i in cli.user.items("configmaps")] == ["kube-root-ca.crt"]


def test_the_name_of_a_cluster_is_not_taken_over_by_a_job(cli: Cli) -> None:
    up(cli, rayjob().replace("kind: RayJob", "kind: RayJob").replace("train", "train"))
    cluster = yaml.safe_load(rayjob())
    cluster = {**cluster, "kind": "RayCluster", "spec": cluster["spec"]["rayClusterSpec"]}
    told = up(cli, yaml.safe_dump(cluster), code=79)
    assert "train is a RayJob, not a RayCluster" in told


def test_status_and_list_know_a_job_that_has_not_begun(cli: Cli) -> None:
    up(cli, rayjob())
    status = cli("status").stdout
    assert "job train-" in status
    assert "Initializing PENDING" in status
    until(lambda: "the submitter's pod is refused: " in cli("status").stdout, 30, "the cause")
    assert "exceeded quota: quota" in cli("status").stdout
    assert "train" in cli("list").stdout


def submission(user: Kube) -> str:
    container = user.get("job", "train")["spec"]["template"]["spec"]["containers"][0]
    found: str = next(one["value"] for one in container["env"] if one["name"] == "RAY_JOB_SUBMISSION_ID")
    return found


def wanted_pods(user: Kube) -> int:
    return sum(int(item["spec"]["replicas"]) for item in user.items("deployments"))


def test_a_suspended_job_has_no_cluster_and_resumed_it_is_a_new_run(cli: Cli) -> None:
    text = rayjob(shutdownAfterJobFinishes=True, suspend=True)
    up(cli, text)
    user = cli.user
    assert wanted_pods(user) == 0
    assert user.get("job", "train")["spec"]["suspend"] is True
    assert user.get("job", "raystead-train-cluster")["spec"]["suspend"] is True, "its TTL does not begin"
    assert "Suspended" in cli("status").stdout
    first = submission(user)
    up(cli, rayjob(shutdownAfterJobFinishes=True, suspend=False))
    second = submission(user)
    assert second != first, "KubeRay's resume is a new run too"
    assert second in user.get("configmap", "raystead-train-programs")["data"]["order.json"]
    assert second in user.get("configmap", "raystead-train-programs")["data"]["keeper-cluster.json"]
    assert wanted_pods(user) == 2
    assert not user.get("job", "train")["spec"].get("suspend")
    up(cli, text)
    assert wanted_pods(user) == 0
    up(cli, rayjob(shutdownAfterJobFinishes=True))
    assert submission(user) not in (first, second)
    up(cli, rayjob(shutdownAfterJobFinishes=True))
    assert wanted_pods(user) == 2


def test_a_generated_name_makes_a_job_each_time(cli: Cli) -> None:
    text = rayjob().replace("name: train", "generateName: train-")
    told = up(cli, text) + up(cli, text)
    jobs = [job["metadata"]["name"] for job in cli.user.items("jobs")]
    assert len(jobs) == 2
    assert all(name.startswith("train-") and len(name) == len("train-") + 5 for name in jobs)
    assert all(f"this job is {name}" in told for name in jobs)
    refused = cli("down", "-f", "-", "--yes", stdin=text, code=None)
    assert refused.returncode
    assert "raystead down NAME" in refused.stderr


def selecting(name: str, **spec: Any) -> str:
    body = {"entrypoint": "echo hello", "clusterSelector": {"ray.io/cluster": name}, **spec}
    return yaml.safe_dump(
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "guest"}, "spec": body}
    )


def test_a_job_on_a_cluster_that_is_there_makes_a_submitter_and_takes_nothing_along(cli: Cli) -> None:
    missing = cli("up", "-f", "-", "--yes", stdin=selecting("lab"), code=None)
    assert missing.returncode
    assert 'is to run on the cluster "lab", which does not exist' in missing.stderr
    cli("up", "--name", "lab", "--wait=false", "--yes", "--workers", "1", "--image", "ray:none")
    user = cli.user
    before = {
        kind: spec_of_all(user, kind) for kind in ("deployments", "services", "secrets", "statefulsets")
    }
    up(cli, selecting("lab"))
    assert {kind: spec_of_all(user, kind) for kind in before} == before, "no cluster is made or changed"
    (job,) = user.items("jobs")
    assert job["metadata"]["name"] == "guest"
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "ray:none", "that of the cluster's head"
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["RAY_DASHBOARD_ADDRESS"] == f"lab-head-svc.{user.namespace}.svc:8265"
    volumes = job["spec"]["template"]["spec"]["volumes"]
    assert [v["secret"]["secretName"] for v in volumes if "secret" in v] == ["lab"], "the cluster's token"
    rule = user.get("networkpolicy", "guest-to-head")["spec"]
    assert rule["podSelector"]["matchLabels"]["raystead.io/cluster"] == "lab"
    assert rule["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == {"raystead.io/cluster": "guest"}
    assert "runs on the cluster lab" in cli("status", "guest").stdout
    assert "on lab" in cli("list").stdout
    up(cli, selecting("lab"))
    cli("down", "guest", "--yes")
    assert {kind: spec_of_all(user, kind) for kind in before} == before, "nothing of the cluster is deleted"
    assert user.items("jobs") == []
    assert "guest" not in str([policy["metadata"]["name"] for policy in user.items("networkpolicies")])


def test_verbs_that_need_pods_say_where_a_guest_runs_and_that_it_cannot_be_suspended(cli: Cli) -> None:
    """KubeRay refuses `suspend` beside `clusterSelector`, too."""
    cli("up", "--name", "lab", "--wait=false", "--yes", "--workers", "1", "--image", "ray:none")
    refused = up(cli, selecting("lab", suspend=True, shutdownAfterJobFinishes=True), code=2)
    assert "spec.suspend: a job on somebody else's cluster cannot be suspended" in refused
    up(cli, selecting("lab"))
    for verb in ("suspend", "resume"):
        said = " ".join(
            cli(verb, "--name", "guest", "--yes" if verb == "suspend" else "-q", code=90).stderr.split()
        )
        assert 'raystead: "guest" runs on the cluster "lab" (clusterSelector): it can be neither' in said
        assert "do raystead down guest stops its job" in said
    for line in (
        "job list", "submit -- true", "connect -- true", "exec -- true", "scale 3", "restart", "verify --yes",
    ):  # fmt: skip
        typed, dashes, command = line.partition(" -- ")
        words = [*typed.split(), "--name", "guest", *([dashes.strip(), command] if dashes else [])]
        said = cli(*words, code=90).stderr
        assert 'raystead: "guest" has no Ray of its own: its job runs on the cluster "lab"' in said, line
        assert "name that one: --name lab" in said
    assert "its cluster is lab: raystead explain lab" in cli("explain", "guest").stdout
    assert "its job runs on the cluster lab" in cli("logs", "--name", "guest").stderr
    assert "suspended" not in cli("status", "guest").stdout
    cli("down", "guest", "--yes")
    cli("suspend", "--name", "lab", "--yes", "--timeout", "60s")
    said = up(cli, selecting("lab"))
    assert "the cluster lab is suspended: the job waits for `raystead resume --name lab`" in said


def spec_of_all(user: Kube, kind: str) -> dict[str, str]:
    return {item["metadata"]["name"]: spec_of(item) for item in user.items(kind)}


def test_a_place_that_deletes_ended_jobs_is_told_by_doctor(
    place: Callable[[str], Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    cli = Cli(as_user(place("university"), "edit"))
    words = ("doctor", "-f", "-", "--label", "example.edu/queue=lab")
    told = "the output and the outcome of Job/train are deleted 5 min after its end"

    def said() -> bool:
        text = cli(*words, stdin=rayjob(shutdownAfterJobFinishes=True), code=None).stdout
        return told in " ".join(text.split())

    until(said, 40, told)  # a policy takes a while to count, that for Jobs may be later than that for pods
