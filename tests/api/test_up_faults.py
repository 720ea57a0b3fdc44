"""What goes wrong under `up` and `down`: killed anywhere, two at once, names taken, spaces that go.

A quota of no pods keeps most of it cheap: objects are what matters here.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml
from audit import Audit
from cli import Cli
from dying import access_of, killed
from kube import Kube, pod, until
from patience import patience

from raystead.base import labels
from raystead.errors import Busy, ClusterNotFound
from raystead.kube.api import Api
from raystead.ops import room
from raystead.ops.anchor import Anchor
from raystead.ops.down import down, found
from raystead.ops.living import live_objects
from raystead.ops.planning import existing, prepare, wanted
from raystead.ops.up import apply
from raystead.plan.make import key_of
from raystead.spec.flags import Flags

pytestmark = pytest.mark.api
Json = dict[str, Any]


def group(name: str, replicas: int = 1) -> Json:
    container = {"name": "ray", "image": "ray:none", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    return {"groupName": name, "replicas": replicas, "template": {"spec": {"containers": [container]}}}


def spec(*groups: Json, storage: str = "none", name: str = "small") -> str:
    head = group("head")["template"]
    return yaml.safe_dump(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": name, "annotations": {"raystead.io/storage": storage}},
            "spec": {
                "rayVersion": "2.60.0",
                "headGroupSpec": {"template": head},
                "workerGroupSpecs": list(groups),
            },
        }
    )


def up(api: Api, text: str | None = None) -> Anchor:
    _, asked, anchor = wanted(api, Flags(), text, "test.yaml")
    return apply(prepare(api, asked, anchor), lambda event: None)


def end(api: Api, name: str) -> None:
    done = down(api, found(api, name), keep_data=False, emit=lambda event: None)
    assert done.remains == ()


def ours(api: Api, name: str) -> set[tuple[str, str]]:
    """Kind and name of all that carries the cluster's label, policies of others left out."""
    return {
        key_of(item)
        for items in live_objects(api, name).values()
        for item in items
        if (item["metadata"].get("labels") or {}).get(labels.OURS) == name
    }


def whole(api: Api, name: str, text: str | None) -> set[tuple[str, str]]:
    """Asserts that nothing is left to do and nothing is owned by an anchor that is gone."""
    _, asked, anchor = wanted(api, Flags(name=None if text else name), text, "test.yaml")
    assert anchor is not None
    prepared = prepare(api, asked, anchor)
    assert not prepared.mutates, prepared.plan.mutating
    for items in live_objects(api, name).values():
        for item in items:
            owners = [o["uid"] for o in item["metadata"].get("ownerReferences") or []]
            claim = item["kind"] == "PersistentVolumeClaim"
            anchors_own = item["metadata"]["uid"] == anchor.uid
            assert claim or anchors_own or owners == [anchor.uid], key_of(item)
    return ours(api, name)


@pytest.fixture
def user(namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]) -> Kube:
    return as_user(namespace(quota={"pods": "0"}), "edit")


@pytest.fixture
def api(user: Kube, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(
        room, "_REDIS_PATIENCE", 0.0
    )  # its pod is refused: no use in waiting, a hundred times
    return Api(access_of(user))


# -- killed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, spec(group("a"), group("b"))], ids=["built-in", "two groups"])
def test_up_killed_after_any_request_is_finished_by_the_next(user: Kube, api: Api, text: str | None) -> None:
    """Some thirty times up and down."""
    name = "small" if text else "ray-cluster"
    up(api, text)
    complete = whole(api, name, text)
    end(api, name)
    position, begun = 0, 0
    while killed(user, position := position + 1, lambda api: up(api, text)):
        if not ours(api, name):
            continue  # it had only read
        begun += 1
        up(api, text)
        assert whole(api, name, text) == complete, f"killed after {position} answers"
        end(api, name)
        assert ours(api, name) == set()
    assert position > 20
    assert begun >= 5
    end(api, name)


def test_a_change_killed_after_any_request_is_finished_by_the_next(user: Kube, api: Api) -> None:
    """A group is renamed, one goes, one shrinks, and the storage goes too."""
    before = spec(group("a", 3), group("b"), group("c"), storage="redis")
    after = spec(group("a", 1), group("renamed"))
    up(api, after)
    complete = whole(api, "small", after)
    up(api, before)
    start = whole(api, "small", before)
    assert start != complete
    position, begun = 0, 0
    while killed(user, position := position + 1, lambda api: up(api, after)):
        anchor = existing(api, "small")
        assert anchor is not None
        if ours(api, "small") == start and len(anchor.cluster.spec.workers) == 3:
            continue
        begun += 1
        up(api, after)
        left = whole(api, "small", after)
        assert left - {("PersistentVolumeClaim", "data-small-redis-0")} == complete
        up(api, before)
    assert begun >= 5
    assert whole(api, "small", after) >= complete
    end(api, "small")


def test_down_killed_after_any_request_is_finished_by_the_next(user: Kube, api: Api) -> None:
    """Some forty times up and down."""
    up(api)
    start = ours(api, "ray-cluster")
    position, begun = 0, 0

    def work(api: Api) -> None:
        down(api, found(api, "ray-cluster"), keep_data=False, emit=lambda event: None)

    while killed(user, position := position + 1, work):
        left = ours(api, "ray-cluster")
        if left == start:
            continue
        begun += 1
        with contextlib.suppress(ClusterNotFound):  # the anchor was gone: the rest goes by itself
            end(api, "ray-cluster")
        assert ours(api, "ray-cluster") == set()
        up(api)
        assert whole(api, "ray-cluster", None) == start
    assert begun >= 10
    assert ours(api, "ray-cluster") == set()


# -- two at once ------------------------------------------------------------------------------------------


def test_two_ups_of_one_spec_both_succeed(user: Kube, api: Api) -> None:
    text = spec(group("a"))
    for _ in range(3):
        ends: list[object] = []
        line = threading.Barrier(2)

        def run(line: threading.Barrier = line, ends: list[object] = ends) -> None:
            mine = Api(access_of(user))
            _, asked, anchor = wanted(mine, Flags(), text, "test.yaml")
            prepared = prepare(mine, asked, anchor)
            line.wait(patience(30))
            try:
                ends.append(apply(prepared, lambda event: None).uid)
            except Exception as error:  # noqa: BLE001  # a thread's end
                ends.append(error)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        assert len({str(e) for e in ends}) == 1, ends
        whole(api, "small", text)
        end(api, "small")


def test_of_two_ups_of_different_specs_one_is_told(user: Kube, api: Api) -> None:
    texts = [spec(group("a"), group("b", 2)), spec(group("a", 3))]
    for there_already in (False, True, True):
        if there_already:
            up(api, spec(group("other")))
        prepared = []
        for text in texts:
            _, asked, anchor = wanted(api, Flags(), text, "test.yaml")
            prepared.append(prepare(Api(access_of(user)), asked, anchor))
        ends: dict[int, object] = {}

        def run(index: int, prepared: Any = prepared, ends: dict[int, object] = ends) -> None:
            try:
                ends[index] = apply(prepared[index], lambda event: None)
            except Exception as error:  # noqa: BLE001  # a thread's end
                ends[index] = error

        threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        lost = [i for i in ends if isinstance(ends[i], Busy)]
        assert len(lost) == 1, ends
        whole(api, "small", texts[1 - lost[0]])
        end(api, "small")


def test_who_is_overtaken_after_the_anchor_leaves_the_newer_spec_in_place(user: Kube, api: Api) -> None:
    """The first has the lock and dawdles; the second takes it; then the first writes what it has."""
    slow, fast = spec(group("a"), group("gone")), spec(group("a", 3), group("new"))

    class Dawdling(Api):
        def create(self, path: str, body: Json, **more: Any) -> Json:
            answer = super().create(path, body, **more)
            if path.endswith("/configmaps"):
                up(api, fast)
            return answer

    with pytest.raises(Busy, match="another raystead"):
        up(Dawdling(access_of(user)), slow)
    whole(api, "small", fast)
    end(api, "small")


def test_an_up_whose_cluster_is_deleted_meanwhile_leaves_nothing(user: Kube, api: Api) -> None:
    class Dawdling(Api):
        def create(self, path: str, body: Json, **more: Any) -> Json:
            answer = super().create(path, body, **more)
            if path.endswith("/configmaps"):
                end(api, "small")
            return answer

    with pytest.raises(Busy, match="another raystead"):
        up(Dawdling(access_of(user)), spec(group("a")))
    until(lambda: ours(api, "small") == set(), 60, "the garbage collector takes what the dead anchor owns")


def test_what_controllers_make_after_down_has_looked_is_deleted_too(user: Kube, api: Api) -> None:
    """A claim and ReplicaSets, made by controllers that were slower than the next command."""
    up(api)
    late = ("PersistentVolumeClaim", "ReplicaSet")
    until(lambda: all(live_objects(api, "ray-cluster", late).values()), 30, "the controllers made theirs")
    what = found(api, "ray-cluster")
    seen = replace(what, objects=tuple(i for i in what.objects if i["kind"] not in late))
    assert len(seen.objects) < len(what.objects)
    done = down(api, seen, keep_data=False, emit=lambda event: None)
    assert done.remains == ()
    assert done.removed >= len(what.objects)
    assert not any(live_objects(api, "ray-cluster", (*late, "Deployment", "StatefulSet")).values())


def test_an_up_that_begins_right_behind_down_keeps_all_it_makes(user: Kube, api: Api) -> None:
    text = spec(group("a"))
    up(api, text)

    class Dawdling(Api):
        def delete(self, path: str, **more: Any) -> Json:
            answer = super().delete(path, **more)
            if path.endswith("/configmaps/raystead-small"):
                up(api, text)
            return answer

    mine = Dawdling(access_of(user))
    done = down(mine, found(mine, "small"), keep_data=False, emit=lambda event: None)
    assert done.remains == ()
    whole(api, "small", text)
    end(api, "small")


# -- specs that change ------------------------------------------------------------------------------------


def test_groups_that_shrink_change_names_or_go_leave_no_orphan(user: Kube, api: Api) -> None:
    def deployments() -> dict[str, int]:
        items = user.items("deployments")
        return {d["metadata"]["name"]: d["spec"]["replicas"] for d in items}

    up(api, spec(group("a", 3), group("b", 2)))
    assert deployments() == {"small-head": 1, "small-a-worker": 3, "small-b-worker": 2}
    up(api, spec(group("a", 1), group("b", 2)))
    assert deployments() == {"small-head": 1, "small-a-worker": 1, "small-b-worker": 2}
    up(api, spec(group("a", 1), group("c", 2)))
    assert deployments() == {"small-head": 1, "small-a-worker": 1, "small-c-worker": 2}
    up(api, spec())
    assert deployments() == {"small-head": 1}
    end(api, "small")
    assert user.items("replicasets") == []


# -- names that are taken ---------------------------------------------------------------------------------


FOREIGN = [
    {"kind": "Service", "metadata": {"name": "redis"}, "spec": {"ports": [{"port": 6379}]}},
    {"kind": "ConfigMap", "metadata": {"name": "redis-config"}, "data": {"a": "b"}},
    {"kind": "ConfigMap", "metadata": {"name": "raystead-ray-cluster"}, "data": {"a": "b"}},
    {"kind": "Secret", "metadata": {"name": "ray-cluster"}, "stringData": {"a": "b"}},
]


@pytest.mark.parametrize("item", FOREIGN, ids=lambda i: f"{i['kind']}/{i['metadata']['name']}")
def test_a_foreign_object_of_our_name_is_named_and_left_alone(user: Kube, audit: Audit, item: Json) -> None:
    user.apply({"apiVersion": "v1", **item})
    before = user.get(item["kind"], item["metadata"]["name"])
    audit.mark()
    done = Cli(user)("up", "--wait=false", code=None)
    assert done.returncode in (74, 79), done.stderr
    assert item["metadata"]["name"] in done.stderr
    assert "Traceback" not in done.stderr
    assert [r for r in audit.none_refused(user.user) if r.mutates] == []
    assert user.get(item["kind"], item["metadata"]["name"]) == before


def test_foreign_pods_of_the_clusters_name_refuse_it(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], audit: Audit
) -> None:
    space = namespace()
    user = as_user(space, "edit")
    user.apply(pod("theirs", "none", ["x"], labels={"ray.io/cluster": "ray-cluster"}))
    audit.mark()
    done = Cli(user)("up", "--wait=false", code=65)
    assert "theirs" in done.stderr
    assert "--name ray-cluster-2" in done.stderr
    assert [r for r in audit.none_refused(user.user) if r.mutates] == []
    assert Cli(user)("plan", "--name", "other", code=0)


@pytest.fixture
def crd(admin: Kube) -> Iterator[None]:
    """KubeRay's CRD, as little of it as an object of the kind needs."""
    name = "rayclusters.ray.io"
    if admin.run("get", "crd", name, check=False).returncode == 0:
        pytest.skip("the cluster has KubeRay's CRD already")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    admin.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": "ray.io",
                "scope": "Namespaced",
                "names": {"kind": "RayCluster", "plural": "rayclusters", "singular": "raycluster"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }
    )
    admin.run("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    yield
    admin.run("delete", "crd", name)


def test_a_live_raycluster_of_the_name_refuses_it(crd: None, user: Kube, admin: Kube, audit: Audit) -> None:
    """Seen by who may read RayClusters; who may not is not refused either."""
    here = admin.at(user.namespace)
    text = spec(group("a"))
    until(lambda: here.apply(text) is None, 20, "the server takes RayClusters", every=1)
    here.run("create", "role", "rays", "--verb=get,list", "--resource=rayclusters.ray.io")
    account = user.user.removeprefix("system:serviceaccount:")
    audit.mark()
    plan = Cli(user)(
        "plan", "--name", "small", "--storage", "none", code=84
    )  # the quota has no room for pods
    assert "6 to create" in plan.stdout
    refused = [r for r in audit.requests(user.user) if r.code in (401, 403)]
    assert {(r.resource, r.dry_run) for r in refused} == {("pods", True)}, (
        "the quota's answers, and nobody else's"
    )
    here.run("create", "rolebinding", "rays", "--role=rays", f"--serviceaccount={account}")
    file = yaml.safe_load(text)
    done = Cli(user)("up", "--wait=false", "-f", "-", stdin=yaml.safe_dump(file), code=65)
    assert 'RayCluster "small"' in done.stderr
    assert [r for r in audit.requests(user.user) if r.mutates] == []


def test_an_anchor_of_a_newer_raystead_is_left_alone(user: Kube, api: Api, audit: Audit) -> None:
    up(api, spec(group("a")))
    user.run("patch", "configmap", "raystead-small", "-p", '{"data":{"format":"99","version":"9.9.9"}}')
    audit.mark()
    raystead = Cli(user)
    for words in (
        ["up", "--name", "small", "--wait=false"],
        ["plan", "--name", "small"],
        ["status"],
        ["down", "--yes"],
    ):
        done = raystead(*words, code=81)
        assert "9.9.9" in done.stderr
        assert "pip install --upgrade" in done.stderr
    assert [r for r in audit.none_refused(user.user) if r.mutates] == []


# -- namespaces -------------------------------------------------------------------------------------------


def test_a_namespace_that_is_being_deleted_takes_nothing(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], audit: Audit
) -> None:
    space = namespace()
    user = as_user(space, "edit")
    held = '{"metadata":{"finalizers":["raystead.test/hold"]}}'
    for thing in ("configmap/kube-root-ca.crt", "rolebinding/test-edit"):
        space.run("patch", thing, "--type=merge", "-p", held)
    space.run("delete", "namespace", space.namespace, "--wait=false")
    try:
        until(
            lambda: space.get("namespace", space.namespace)["status"]["phase"] == "Terminating", 10, "it goes"
        )
        audit.mark()
        done = Cli(user)("up", "--wait=false", code=80)
        assert "the namespace is being deleted" in done.stderr
        assert "-n" in done.stderr
    finally:
        for thing in ("configmap/kube-root-ca.crt", "rolebinding/test-edit"):
            space.run("patch", thing, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)


def test_a_namespace_deleted_during_the_wait_ends_it(user: Kube, admin: Kube) -> None:
    running = Cli(user).start("up", "--storage", "none", "--yes")
    until(lambda: user.items("deployments"), 30, "the objects are there")
    admin.run("delete", "namespace", user.namespace, "--wait=false")
    _, err = running.communicate(timeout=patience(60))
    assert running.returncode in (78, 80, 82), err
    assert "Traceback" not in err


def test_a_cluster_taken_down_by_another_ends_the_wait(user: Kube) -> None:
    raystead = Cli(user)
    running = raystead.start("up", "--storage", "none", "--yes")
    until(lambda: len(user.items("deployments")) == 2, 30, "the objects are there")
    raystead("down", "--yes")
    _, err = running.communicate(timeout=patience(30))
    assert running.returncode == 82, err
    assert "was deleted in the meantime" in err


def test_a_wait_that_is_over_says_what_is_missing_and_why(user: Kube) -> None:
    done = Cli(user)("up", "--storage", "none", "--timeout", "5", "--yes", code=68)
    assert "is not ready after 5 s" in done.stderr
    assert "quota" in done.stderr
