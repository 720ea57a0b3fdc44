"""Nothing of anybody else's is hurt: objects that only carry our label, clusters that others made, newer specs."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from cli import Cli
from dying import access_of
from kube import Kube, until

from raystead.errors import Busy, ClusterNotFound, Conflict
from raystead.kube.api import Api
from raystead.kube.paths import path_of
from raystead.ops import bring as bringing
from raystead.ops.anchor import Anchor
from raystead.ops.down import Downed, down, found
from raystead.ops.living import own_pods
from raystead.ops.planning import existing, prepare, wanted
from raystead.ops.run import temporary
from raystead.ops.specs import desired
from raystead.ops.up import apply
from raystead.spec.flags import Flags

pytestmark = pytest.mark.api
Json = dict[str, Any]
POD: Json = {
    "containers": [{"name": "x", "image": "x:none", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]
}
LABEL = {"raystead.io/cluster": "small"}


def group(name: str, replicas: int = 1, image: str = "ray:none") -> Json:
    container = {"name": "ray", "image": image, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    return {"groupName": name, "replicas": replicas, "template": {"spec": {"containers": [container]}}}


def spec(*groups: Json, storage: str = "none", name: str = "small") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": name, "annotations": {"raystead.io/storage": storage}},
            "spec": {
                "rayVersion": "2.60.0",
                "headGroupSpec": {"template": group("head")["template"]},
                "workerGroupSpecs": list(groups),
            },
        }
    )


def up(api: Api, text: str) -> Anchor:
    _, asked, anchor = wanted(api, Flags(), text, "test.yaml")
    prepared = prepare(api, asked, anchor)
    prepared.refuse_problems()
    return apply(prepared, lambda event: None)


def end(api: Api, name: str = "small") -> Downed:
    done = down(api, found(api, name), keep_data=False, emit=lambda event: None)
    assert done.remains == ()
    return done


@pytest.fixture
def user(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Kube:
    return as_user(namespace(quota={"pods": "0"}), "edit")


@pytest.fixture
def api(user: Kube) -> Api:
    return Api(access_of(user))


def copies(user: Kube) -> dict[str, Json]:
    """What a colleague makes from a copy of our YAML: all with our label, none of it ours."""
    template = {"metadata": {"labels": LABEL}, "spec": POD}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made: list[Json] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "mine", "labels": LABEL},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "mine"}}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "my-data", "labels": LABEL},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "labels": LABEL}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "labels": LABEL}},
    ]
    made[0]["spec"]["template"]["metadata"]["labels"] = {**LABEL, "app": "mine"}
    made[1]["spec"] = claim
    for item in made:
        user.apply(item)
    return {item["kind"]: user.get(item["kind"], item["metadata"]["name"]) for item in made}


def uids(items: dict[str, Json], user: Kube) -> dict[str, str]:
    return {k: user.get(k, i["metadata"]["name"])["metadata"]["uid"] for k, i in items.items()}


# -- down and up ------------------------------------------------------------------------------------------


def test_down_leaves_and_names_what_only_carries_our_label(user: Kube, api: Api) -> None:
    up(api, spec(group("a"), storage="redis"))
    theirs = copies(user)
    before = uids(theirs, user)
    done = end(api)
    assert uids(theirs, user) == before
    for kind, item in theirs.items():
        assert any(f"{kind}/{item['metadata']['name']}" in line for line in done.kept), done.kept
    assert existing(api, "small") is None
    with pytest.raises(ClusterNotFound) as error:
        found(api, "small")
    assert "Deployment/mine" in error.value.evidence


def test_up_deletes_nothing_that_only_carries_our_label(user: Kube, api: Api) -> None:
    theirs = copies(user)
    before = uids(theirs, user)
    up(api, spec(group("a"), group("b")))
    _, asked, anchor = wanted(api, Flags(), spec(group("a")), "test.yaml")
    plan = prepare(api, asked, anchor).plan
    assert {c.key for c in plan.mutating} & {(k, i["metadata"]["name"]) for k, i in theirs.items()} == set()
    assert any("Deployment/mine" in note for note in plan.notes)
    up(api, spec(group("a")))
    assert uids(theirs, user) == before
    assert {d["metadata"]["name"] for d in user.items("deployments")} == {
        "small-head",
        "small-a-worker",
        "mine",
    }
    end(api)


def test_an_object_without_our_owner_is_not_replaced(user: Kube, api: Api) -> None:
    """One of our name and with our label, whose immutable selector would have to change."""
    template = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
    body = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    head = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "small-head", "labels": LABEL},
    }
    api.apply(path_of(api.namespace, "Deployment", "small-head"), {**head, "spec": body})
    before = user.get("Deployment", "small-head")["metadata"]["uid"]
    with pytest.raises(Conflict, match="nothing proves"):
        up(api, spec(group("a")))
    assert user.get("Deployment", "small-head")["metadata"]["uid"] == before
    assert existing(api, "small") is None


def test_what_an_anchor_left_that_is_gone_is_cleaned_up(user: Kube, api: Api) -> None:
    """Its ConfigMap was deleted; the garbage collector is held up by a finalizer here."""
    anchor = up(api, spec(group("a")))
    user.run(
        "patch", "deployment", "small-head", "--type=merge", "-p", '{"metadata":{"finalizers":["x.io/hold"]}}'
    )
    theirs = copies(user)
    before = uids(theirs, user)
    user.run("delete", "configmap", anchor.raw["metadata"]["name"])
    what = found(api, "small")
    assert what.anchor is None
    assert "Deployment/small-head" in {f"{i['kind']}/{i['metadata']['name']}" for i in what.objects}
    threading.Timer(
        2,
        user.run,
        ("patch", "deployment", "small-head", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'),
    ).start()
    done = down(api, what, keep_data=False, emit=lambda event: None)
    assert done.remains == ()
    assert uids(theirs, user) == before
    assert {d["metadata"]["name"] for d in user.items("deployments")} == {"mine"}


def test_keep_data_takes_only_our_claims_from_their_owner(user: Kube, api: Api) -> None:
    anchor = up(api, spec(group("a"), storage="redis"))
    until(lambda: len(user.items("pvc")) == 1, 30, "the StatefulSet has its claim")
    theirs = copies(user)
    owner = {"apiVersion": "v1", "kind": "Secret", "name": "mine", "uid": theirs["Secret"]["metadata"]["uid"]}
    body = json.dumps({"metadata": {"ownerReferences": [owner]}})
    user.run("patch", "pvc", "my-data", "--type=merge", "-p", body)
    done = down(api, found(api, "small"), keep_data=True, emit=lambda event: None)
    assert any("data-small-redis-0" in line for line in done.kept)
    assert {c["metadata"]["name"] for c in user.items("pvc")} == {"data-small-redis-0", "my-data"}
    assert user.get("pvc", "my-data")["metadata"]["ownerReferences"][0]["name"] == "mine"
    again = up(api, spec(group("a"), storage="redis"))
    assert again.with_facts().storage_namespace == anchor.with_facts().storage_namespace
    end(api)
    assert {c["metadata"]["name"] for c in user.items("pvc")} == {"my-data"}


# -- names that others use --------------------------------------------------------------------------------


def test_up_refuses_before_it_would_catch_other_teams_pods(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """Redis' Service and policy select by our label too; what the guide fixes is refused by name."""
    user = as_user(namespace(), "edit")
    api = Api(access_of(user))
    for name, app in (("cache", "redis"), ("their-head", "ray-cluster-head")):
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": POD}
        item["metadata"]["labels"] = {"app": app}
        user.apply(item)
    _, asked, anchor = wanted(api, Flags())
    prepared = prepare(api, asked, anchor)
    (problem,) = prepared.plan.problems
    assert "Service/service-ray-cluster" in problem
    assert "pod/their-head" in problem
    assert "cache" not in problem
    with pytest.raises(Conflict, match="nothing was changed"):
        prepared.refuse_problems()
    user.run("delete", "pod", "their-head", "--now")
    prepared = prepare(*wanted(api, Flags()))
    assert prepared.plan.problems == ()


def test_two_clusters_whose_names_end_alike_share_no_token(user: Kube, api: Api) -> None:
    tail = "x" * 50
    up(api, spec(name=f"a-{tail}"))
    with pytest.raises(Conflict, match=f'belongs to the cluster "a-{tail}"'):
        up(api, spec(name=f"b-{tail}"))
    assert existing(api, f"b-{tail}") is None
    end(api, f"a-{tail}")


# -- the lock ---------------------------------------------------------------------------------------------


def test_a_repair_does_not_put_an_old_spec_over_a_newer_one(user: Kube, api: Api) -> None:
    """It was planned first and comes second: it is told before it has changed anything."""
    up(api, spec(group("a", 2)))
    user.run("delete", "deployment", "small-a-worker")
    repair = prepare(*wanted(api, Flags(name="small")))
    assert repair.mutates
    assert not repair.anchor_changes
    up(api, spec(group("a", 5, image="ray:new")))
    with pytest.raises(Busy, match="another raystead"):
        apply(repair, lambda event: None)
    worker = user.get("deployment", "small-a-worker")["spec"]
    assert worker["replicas"] == 5
    assert worker["template"]["spec"]["containers"][0]["image"] == "ray:new"
    end(api)


def test_a_repair_that_is_overtaken_brings_the_newer_spec_back(user: Kube, api: Api) -> None:
    up(api, spec(group("a", 2)))
    user.run("delete", "deployment", "small-a-worker")

    class Dawdling(Api):
        def replace(self, path: str, body: Json) -> Json:
            answer = super().replace(path, body)
            up(api, spec(group("a", 5)))
            return answer

    mine = Dawdling(access_of(user))
    with pytest.raises(Busy):
        apply(prepare(*wanted(mine, Flags(name="small"))), lambda event: None)
    assert user.get("deployment", "small-a-worker")["spec"]["replicas"] == 5
    end(api)


def test_an_unchanged_up_writes_nothing_and_a_repair_writes_the_anchor(user: Kube, api: Api) -> None:
    first = up(api, spec(group("a", 2)))
    assert up(api, spec(group("a", 2))).resource_version == first.resource_version
    user.run("delete", "deployment", "small-a-worker")
    second = up(api, spec(group("a", 2)))
    assert second.resource_version != first.resource_version
    assert second.hash == first.hash
    end(api)


# -- run --------------------------------------------------------------------------------------------------


@contextmanager
def silent() -> Iterator[Callable[[object], None]]:
    yield lambda event: None


def once(api: Api, text: str, inside: Callable[[], None]) -> None:
    """`raystead run`, with that instead of a job; it does not wait for Ray."""
    asked = desired(Flags(), text, "test.yaml")

    def nothing(*_: object) -> None:
        pass

    with temporary(api, asked, lease=600, view=silent, note=nothing, downed=nothing, check=nothing):
        inside()


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "wait", lambda *args, **more: None)


@pytest.mark.usefixtures("no_wait")
def test_run_deletes_what_it_made(user: Kube, api: Api) -> None:
    once(api, spec(group("a")), lambda: None)
    assert existing(api, "small") is None
    assert user.items("deployments") == user.items("jobs") == []


@pytest.mark.usefixtures("no_wait")
def test_run_leaves_a_cluster_that_somebody_made_under_its_name(user: Kube, api: Api) -> None:
    """During the job a colleague deleted the cluster and brought up their own."""
    made: list[Anchor] = []

    def inside() -> None:
        end(api)
        made.append(up(api, spec(group("a"))))

    once(api, spec(group("a")), inside)
    time.sleep(3)  # for the garbage collector, which must not take it with the lease either
    now = existing(api, "small")
    assert now is not None
    assert now.uid == made[0].uid
    assert {d["metadata"]["name"] for d in user.items("deployments")} == {"small-head", "small-a-worker"}
    end(api)


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize(
    "theirs", [spec(group("a")), spec(group("b"))], ids=["the same spec", "another spec"]
)
def test_run_leaves_a_cluster_that_came_between_its_look_and_its_anchor(
    user: Kube, api: Api, theirs: str
) -> None:
    made: list[Anchor] = []

    class Slow(Api):
        def create(self, path: str, body: Json, **more: Any) -> Json:
            if path.endswith("/configmaps") and not made:
                made.append(up(api, theirs))
            return super().create(path, body, **more)

    with pytest.raises(Busy):
        once(Slow(access_of(user)), spec(group("a")), lambda: None)
    time.sleep(3)
    now = existing(api, "small")
    assert now is not None
    assert now.uid == made[0].uid
    assert user.items("deployments") != []
    end(api)


# -- companions of a file ---------------------------------------------------------------------------------


def with_others(*documents: Json) -> str:
    return "---\n".join([*(yaml.safe_dump(one) for one in documents), spec(group("a"))])


def secret(value: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": value}}


def test_a_changed_secret_of_the_file_is_applied_and_never_shown(user: Kube, api: Api) -> None:
    up(api, with_others(secret("first-value")))
    again = prepare(*wanted(api, Flags(), with_others(secret("first-value")), "f.yaml"))
    assert not again.mutates
    changed = prepare(*wanted(api, Flags(), with_others(secret("second-value")), "f.yaml"))
    (change,) = changed.plan.mutating
    assert change.key == ("Secret", "keys")
    assert "value" not in repr(change.fields)
    apply(changed, lambda event: None)
    assert user.get("secret", "keys")["data"]["key"] == "c2Vjb25kLXZhbHVl"
    end(api)
    assert user.get("secret", "keys")


@pytest.mark.parametrize("label", [{}, LABEL], ids=["a Secret of theirs", "a copy of ours"])
def test_a_password_in_the_file_goes_over_no_secret_that_is_not_provably_ours(
    user: Kube, api: Api, label: Json
) -> None:
    document = yaml.safe_load(spec(group("small"), storage="external"))
    document["spec"]["gcsFaultToleranceOptions"] = {
        "redisAddress": "redis:6379",
        "redisPassword": {"value": "from-the-file"},
    }
    del document["metadata"]["annotations"]
    metadata = {"name": "raystead-small-redis", "labels": label}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    user.apply({**secret, "stringData": {"password": "theirs"}})
    version = user.get("secret", "raystead-small-redis")["metadata"]["resourceVersion"]
    with pytest.raises(Conflict, match="raystead-small-redis has another password than the file"):
        up(api, yaml.safe_dump(document))
    assert user.get("secret", "raystead-small-redis")["metadata"]["resourceVersion"] == version
    assert existing(api, "small") is None
    user.apply({**secret, "stringData": {"password": "from-the-file"}})
    up(api, yaml.safe_dump(document))  # the same password: it is used as it is
    end(api)
    assert user.get("secret", "raystead-small-redis")["data"]


def test_a_change_meets_the_very_object_that_the_plan_saw(user: Kube, api: Api) -> None:
    """One that came under its name between plan and apply is left alone; one that has gone is made again."""
    up(api, spec(group("small")))
    for come in (True, False):
        text = spec(group("small", replicas=2 + come))
        _, asked, anchor = wanted(api, Flags(), text, "test.yaml")
        prepared = prepare(api, asked, anchor)
        user.run("delete", "deployment", "small-small-worker", "--cascade=foreground", "--wait=true")
        if come:
            theirs = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
            body = {"selector": {"matchLabels": {"app": "x"}}, "template": theirs}
            name = {"name": "small-small-worker"}
            user.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": name, "spec": body})
            with pytest.raises(Busy, match="another raystead has changed"):
                apply(prepared, lambda event: None)
            there = user.get("deployment", "small-small-worker")
            assert "raystead.io/cluster" not in (there["metadata"].get("labels") or {})
            user.run("delete", "deployment", "small-small-worker")
            up(api, text)
        else:
            apply(prepared, lambda event: None)
            assert user.get("deployment", "small-small-worker")["spec"]["replicas"] == 2
    end(api)


def test_what_the_server_does_not_take_is_told_with_its_line_and_all_at_once(user: Kube, api: Api) -> None:
    """A kind that this server does not know, a right that `edit` lacks, an object that is invalid."""
    rbac = "rbac.authorization.k8s.io/v1"
    text = with_others(
        {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "metadata": {"name": "q"}},
        {"apiVersion": rbac, "kind": "Role", "metadata": {"name": "r"}, "rules": []},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": []}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good"}},
    )
    lines = [text[: text.index(f"kind: {kind}")].count("\n") for kind in ("Queue", "Role", "Service")]
    _, asked, anchor = wanted(api, Flags(), text, "f.yaml")
    problems = prepare(api, asked, anchor).plan.problems
    for line, words in zip(
        lines, ("the cluster has no Queue", "you may not patch roles", "Service"), strict=True
    ):
        assert [p for p in problems if f"f.yaml:{line}" in p and words in p], problems
    assert len(problems) == 3
    done = Cli(user)("doctor", "-f", "-", "-o", "json", stdin=text, code=84)
    told = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "file"]
    assert [c["verdict"] for c in told] == ["fail"] * 3
    assert user.items("configmaps") == [
        c for c in user.items("configmaps") if c["metadata"]["name"] != "good"
    ]


def test_a_companion_is_not_put_over_an_object_of_another_cluster(user: Kube, api: Api) -> None:
    up(api, spec(group("a"), name="other"))
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "raystead-other"},
        "data": {"a": "b"},
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other-head-svc"}}
    service["spec"] = {"ports": [{"port": 80}]}
    text = with_others(service, theirs)
    before = [user.get("configmap", "raystead-other"), user.get("service", "other-head-svc")]
    with pytest.raises(Conflict) as error:
        up(api, text)
    assert 'Service/other-head-svc is an object of the cluster "other"' in error.value.what
    assert "ConfigMap/raystead-other" in error.value.what
    assert [user.get("configmap", "raystead-other"), user.get("service", "other-head-svc")] == before
    end(api, "other")


# -- Secrets that are made anew ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "restarts"),
    [("small", {"small-head", "small-a-worker"}), ("raystead-small-redis", {"small-head", "small-redis"})],
    ids=["token", "Redis' password"],
)
def test_who_has_read_a_secret_restarts_when_it_is_made_anew(
    user: Kube, api: Api, secret: str, restarts: set[str]
) -> None:
    text = spec(group("a"), storage="redis")
    up(api, text)
    user.run("delete", "secret", secret)
    plan = prepare(*wanted(api, Flags(), text, "f.yaml")).plan
    stamp = "spec.template.metadata.annotations"
    assert {c.name for c in plan.mutating if any(f.path.startswith(stamp) for f in c.fields)} == restarts
    assert any(f"Secret/{secret} gets a new value" in note for note in plan.notes)
    first = up(api, text)
    assert user.get("secret", secret)
    assert up(api, text).resource_version == first.resource_version  # nobody restarts again
    user.run("delete", "secret", secret)
    before = {name: user.get(["deployment", "statefulset"][name == "small-redis"], name) for name in restarts}
    up(api, text)
    for name, item in before.items():
        now = user.get(item["kind"], name)
        assert now["metadata"]["generation"] > item["metadata"]["generation"]
    end(api)


def test_down_with_the_file_removes_what_it_brought_and_nothing_else(user: Kube, api: Api) -> None:
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    claim["spec"] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    text = with_others(secret("x"), claim, mine)
    up(api, text)
    assert "came with the file: Secret/keys, PersistentVolumeClaim/data, ConfigMap/mine" in " ".join(
        Cli(user)("status", "small", code=None).stdout.split()
    )
    user.run("delete", "configmap", "mine")
    user.run("create", "configmap", "mine", "--from-literal=c=d")  # another's, of the same name
    done = Cli(user)("down", "--yes", "small")
    assert "Secret/keys (came with the file: raystead down -f FILE removes it)" in done.stderr
    done = Cli(user)("down", "-f", "-", "--keep-data", stdin=text)
    assert "PersistentVolumeClaim/data (kept with its data)" in done.stderr
    assert "ConfigMap/mine (nothing proves that raystead applied it)" in done.stderr
    assert [s["metadata"]["name"] for s in user.items("secrets")] == []
    up(api, text.replace("name: small", "name: second"))
    done = Cli(user)("down", "-f", "-", stdin=text)
    assert 'the cluster "second" has it in its file too' in done.stderr
    assert user.get("secret", "keys")
    end(api, "second")
    Cli(user)("down", "-f", "-", stdin=text)
    assert user.items("pvc") == []
    assert user.get("configmap", "mine")
    Cli(user)("down", "small", code=64)


# -- keys in a Redis of others ----------------------------------------------------------------------------


def with_redis(address: str, **head: Any) -> str:
    one = yaml.safe_load(spec(group("a")))
    del one["metadata"]["annotations"]
    one["spec"]["gcsFaultToleranceOptions"] = {"redisAddress": address}
    one["spec"]["headGroupSpec"]["template"]["spec"] |= head
    return yaml.safe_dump(one)


def test_keys_beside_the_head_end_with_it_or_are_said_to_be_on_their_claim(user: Kube, api: Api) -> None:
    """Its Redis is gone with the head's pod: nobody is asked for a minute."""
    up(api, with_redis("127.0.0.1:6380"))
    begun = time.monotonic()
    assert end(api).kept == ()
    volumes = [{"name": "redis", "persistentVolumeClaim": {"claimName": "redis-data"}}]
    anchor = up(api, with_redis("127.0.0.1:6380", volumes=volumes))
    (line,) = end(api).kept
    assert line == (
        f"the keys RAY{anchor.uid}@… in Redis at 127.0.0.1:6380: that Redis ran next to the head, "
        "and its data is on PersistentVolumeClaim/redis-data"
    )
    assert time.monotonic() - begun < 60
    assert existing(api, "small") is None


def test_without_its_anchor_down_names_the_keys_and_the_command_that_removes_them(
    user: Kube, api: Api
) -> None:
    anchor = up(api, with_redis("redis.example:6380"))
    hold = '{"metadata":{"finalizers":["x.io/hold"]}}'
    user.run("patch", "deployment", "small-head", "--type=merge", "-p", hold)
    user.run("delete", "configmap", "raystead-small")
    what = found(api, "small")
    threading.Timer(
        2,
        user.run,
        ("patch", "deployment", "small-head", "--type=merge", "-p", hold.replace('["x.io/hold"]', "null")),
    ).start()
    (line,) = down(api, what, keep_data=False, emit=lambda event: None).kept
    assert f"the keys RAY{anchor.uid}@… in Redis at redis.example:6380" in line
    assert f"redis-cli -h redis.example -p 6380 --scan --pattern 'RAY{anchor.uid}@*'" in line


def test_whose_pods_may_be_touched_is_told_by_their_controllers(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """`scale` marks idle workers, `verify` ends a pod: never one that only carries the labels."""
    user = as_user(namespace(), "edit")
    api = Api(access_of(user))
    anchor = up(api, spec(group("a")))
    marks = {**LABEL, "ray.io/node-type": "worker", "ray.io/group": "a", "ray.io/cluster": "small"}
    user.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "notebook", "labels": marks}, "spec": POD}
    )
    until(lambda: len(user.items("pods")) == 3, 30, "the controllers made their pods")
    names = {p["metadata"]["name"] for p in own_pods(api, "small", anchor.uid, user.items("pods"))}
    assert len(names) == 2
    assert "notebook" not in names
    end(api)
    assert [p["metadata"]["name"] for p in user.items("pods")] == ["notebook"]
