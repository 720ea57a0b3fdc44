"""What a plan says of a change: what happens to which object, what restarts, what is lost."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from raystead import __version__
from raystead.base import names
from raystead.manifests.facts import NO_CHOICES, Choices, Facts
from raystead.manifests.render import manifests
from raystead.plan.losses import HEAD_WITH_STORAGE, HEAD_WITHOUT_STORAGE, REDIS_WITHOUT_VOLUME, WORKERS
from raystead.plan.make import key_of, make
from raystead.plan.model import Action, By, Change, Plan
from raystead.spec.model import RayCluster, read

Json = dict[str, Any]
FACTS = Facts(namespace="ns", anchor_uid="0-uid", storage_namespace="0-uid")
NO_VOLUME = Facts(namespace="ns", anchor_uid="0-uid", storage_namespace="0-uid", has_default_storage=False)


def group(name: str, replicas: int = 2, image: str = "ray:1", **more: Any) -> Json:
    container = {"name": "ray-worker", "image": image, **more}
    return {"groupName": name, "replicas": replicas, "template": {"spec": {"containers": [container]}}}


def cluster(
    *groups: Json, image: str = "ray:1", storage: str = "none", env: Any = (), **spec: Any
) -> RayCluster:
    annotations = {"raystead.io/storage": storage} | spec.pop("annotations", {})
    head = {"name": "ray-head", "image": image, "env": list(env)}
    template = {"spec": {"containers": [head]}}
    return read(
        RayCluster,
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": "a", "annotations": annotations},
            "spec": {"headGroupSpec": {"template": template}, "workerGroupSpecs": list(groups), **spec},
        },
    )


def stored(item: Json, version: int = 1) -> Json:
    """The object as a server gives it back: defaults, status and book-keeping added."""
    out = copy.deepcopy(item)
    out["metadata"] |= {
        "uid": f"uid-{item['metadata']['name']}",
        "resourceVersion": str(version),
        "generation": version,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "raystead", "time": f"2026-01-0{version}T00:00:00Z"}],
    }
    if item["kind"] == "Deployment":
        revision = {"deployment.kubernetes.io/revision": str(version)}
        out["metadata"].setdefault("annotations", {}).update(revision)
        out["spec"]["template"]["metadata"]["creationTimestamp"] = None
        out["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    if item["kind"] in ("Deployment", "StatefulSet"):
        out["status"] = {"replicas": out["spec"]["replicas"]}
    if item["kind"] == "Service":
        out["spec"].setdefault("sessionAffinity", "None")
    return out


def plan(
    before: RayCluster,
    after: RayCluster,
    facts: Facts = FACTS,
    extra: tuple[Json, ...] = (),
    choices: Choices = NO_CHOICES,
    **more: Any,
) -> Plan:
    """A plan on a server that holds `before`, applied by this very version."""
    wanted, previous = manifests(after, facts, choices), manifests(before, more.pop("old_facts", facts))
    live = {key_of(item): stored(item) for item in previous}
    refusals = more.get("refusals", {})
    answers = {key_of(i): stored(i, 2) for i in wanted if key_of(i) in live and key_of(i) not in refusals}
    more = {"rendered_by": __version__, "previous": previous, **more}
    return make(wanted, [*live.values(), *extra], answers, desired=after, applied=before, **more)


def the(plan: Plan, name: str) -> Change:
    return next(change for change in plan.changes if f"{change.kind}/{change.name}" == name)


def actions(plan: Plan) -> dict[str, str]:
    """What happens to which object; policies follow their groups and have a test of their own."""
    return {f"{c.kind}/{c.name}": str(c.action) for c in plan.mutating if c.kind != "NetworkPolicy"}


def test_the_first_up_creates_everything() -> None:
    spec = cluster(group("small"))
    wanted = manifests(spec, FACTS)
    made = make(wanted, [], {}, desired=spec)
    assert [c.key for c in made.changes] == [key_of(item) for item in wanted]
    assert {c.action for c in made.changes} == {Action.CREATE}
    assert (made.creates, made.restarts, made.losses, made.notes) == (len(wanted), 0, (), ())


def test_an_unchanged_spec_changes_nothing_whatever_the_server_wrote() -> None:
    made = plan(cluster(group("small")), cluster(group("small")))
    assert not made.mutates
    assert made.notes == made.problems == ()


def test_more_workers_restart_nothing() -> None:
    made = plan(cluster(group("small", 2)), cluster(group("small", 5)))
    assert actions(made) == {"Deployment/a-small-worker": "change"}
    (field,) = the(made, "Deployment/a-small-worker").fields
    assert (field.path, field.before, field.after, field.by) == ("spec.replicas", 2, 5, By.SPEC)
    assert (made.restarts, made.stops, made.losses) == (0, 0, ())


def test_fewer_workers_stop_only_the_difference() -> None:
    made = plan(cluster(group("small", 5)), cluster(group("small", 2)))
    assert (made.restarts, made.stops, made.losses) == (0, 3, (WORKERS,))


def test_an_image_of_a_group_restarts_its_pods_only() -> None:
    made = plan(cluster(group("a"), group("b", 3)), cluster(group("a"), group("b", 3, "ray:2")))
    assert actions(made) == {"Deployment/a-b-worker": "change"}
    change = the(made, "Deployment/a-b-worker")
    assert [f.path for f in change.fields] == ["spec.template.spec.containers[ray-worker].image"]
    assert (change.restarts, change.stops, change.loses) == (3, 0, WORKERS)


def test_only_pods_that_run_are_counted() -> None:
    before, after = cluster(group("b", 3)), cluster(group("b", 3, "ray:2"))
    live = [stored(item) for item in manifests(before, FACTS)]
    live[-1]["status"] = {"replicas": 1}
    answers = {key_of(i): stored(i, 2) for i in manifests(after, FACTS)}
    assert make(manifests(after, FACTS), live, answers, desired=after, applied=before).restarts == 1
    live[-1]["status"] = {}
    assert make(manifests(after, FACTS), live, answers, desired=after, applied=before).restarts == 0


@pytest.mark.parametrize(("storage", "loses"), [("none", HEAD_WITHOUT_STORAGE), ("redis", HEAD_WITH_STORAGE)])
def test_a_new_head_image_costs_what_its_storage_does_not_keep(storage: str, loses: str) -> None:
    made = plan(cluster(storage=storage), cluster(storage=storage, image="ray:2"))
    change = the(made, "Deployment/a-head")
    assert (change.restarts, change.loses) == (1, loses)


def test_a_removed_group_is_deleted_with_its_pods_and_nothing_else() -> None:
    made = plan(cluster(group("a"), group("b", 3)), cluster(group("a")))
    assert actions(made) == {"Deployment/a-b-worker": "delete"}
    change = the(made, "Deployment/a-b-worker")
    assert (change.stops, change.reason) == (3, 'group "b" is removed')
    assert {c.reason for c in made.of(Action.DELETE)} == {change.reason}  # its policy's too


def test_a_renamed_group_says_so() -> None:
    made = plan(cluster(group("a")), cluster(group("z")))
    assert actions(made) == {"Deployment/a-z-worker": "create", "Deployment/a-a-worker": "delete"}
    assert the(made, "Deployment/a-a-worker").reason == 'group "a" is renamed to "z"'


def test_policies_off_deletes_them_and_restarts_nothing() -> None:
    made = plan(cluster(group("a")), cluster(group("a")), choices=Choices(policies="never"))
    assert {c.kind for c in made.mutating} == {"NetworkPolicy"}
    assert {c.action for c in made.mutating} == {Action.DELETE}
    assert {c.reason for c in made.mutating} == {"policies are off"}
    assert (made.restarts, made.stops) == (0, 0)


def test_redis_given_up_says_that_the_state_is_left_and_keeps_the_claim() -> None:
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-a-redis-0", "labels": {"raystead.io/cluster": "a"}},
    }
    secret = {
        "kind": "Secret",
        "metadata": {"name": "raystead-a-redis", "labels": {"raystead.io/cluster": "a"}},
    }
    token = {"kind": "Secret", "metadata": {"name": "a", "labels": {"raystead.io/cluster": "a"}}}
    made = plan(cluster(storage="redis"), cluster(storage="none"), extra=(claim, secret, token))
    gone = {str(c.kind): c for c in made.of(Action.DELETE)}
    assert gone["StatefulSet"].reason == "storage changes from redis to none"
    assert gone["Secret"].name == "raystead-a-redis"  # the token's Secret is still used
    assert "PersistentVolumeClaim" not in gone
    assert (
        "their state is in Redis a-redis:6379, the head will look in its own pod"
        in the(made, "Deployment/a-head").loses
    )
    (note,) = made.notes
    assert "PersistentVolumeClaim/data-a-redis-0 stays" in note


def test_redis_kept_keeps_its_claim_without_a_word() -> None:
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-a-redis-0", "labels": {"raystead.io/cluster": "a"}},
    }
    made = plan(cluster(storage="redis"), cluster(storage="redis"), extra=(claim,))
    assert not made.mutates
    assert made.notes == ()


def test_storage_added_costs_what_the_head_held() -> None:
    made = plan(cluster(), cluster(storage="redis"))
    assert the(made, "Deployment/a-head").loses == HEAD_WITHOUT_STORAGE
    assert the(made, "StatefulSet/a-redis").action is Action.CREATE


def test_another_namespace_in_the_same_redis_loses_the_state() -> None:
    def with_prefix(prefix: str) -> RayCluster:
        return cluster(
            gcsFaultToleranceOptions={"redisAddress": "r:6379", "externalStorageNamespace": prefix},
            annotations={"raystead.io/storage": "external"},
        )

    made = plan(with_prefix("one"), with_prefix("two"))
    assert (
        "their state is in namespace one, the head will look in namespace two"
        in the(made, "Deployment/a-head").loses
    )


def test_a_restarted_redis_without_a_volume_loses_everything() -> None:
    before = cluster(storage="redis")
    after = cluster(storage="redis", annotations={"raystead.io/redis-image": "redis:8"})
    assert the(plan(before, after, NO_VOLUME), "StatefulSet/a-redis").loses == REDIS_WITHOUT_VOLUME
    assert "Redis' data is on its volume" in the(plan(before, after), "StatefulSet/a-redis").loses


IMMUTABLE = "Deployment.apps is invalid: spec.selector: Invalid value: {}: field is immutable"
STATEFUL = "StatefulSet.apps is invalid: spec: Forbidden: updates to statefulset spec for fields other than …"


def test_a_volume_for_a_redis_that_had_none_is_a_new_statefulset() -> None:
    spec = cluster(storage="redis")
    refused = {("StatefulSet", "a-redis"): STATEFUL}
    change = the(plan(spec, spec, FACTS, old_facts=NO_VOLUME, refusals=refused), "StatefulSet/a-redis")
    assert (change.action, change.restarts, change.loses) == (Action.REPLACE, 1, REDIS_WITHOUT_VOLUME)
    assert change.reason == "volumeClaimTemplates cannot be changed in place"


def test_another_class_keeps_the_claim_and_its_data() -> None:
    spec = cluster(storage="redis")
    fast = Facts(namespace="ns", anchor_uid="0-uid", storage_namespace="0-uid", storage_class="fast")
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-a-redis-0", "labels": {"raystead.io/cluster": "a"}},
    }
    refused = {("StatefulSet", "a-redis"): STATEFUL}
    made = plan(spec, spec, fast, old_facts=FACTS, refusals=refused, extra=(claim,))
    assert "Redis' data is on its volume" in the(made, "StatefulSet/a-redis").loses
    assert made.notes == (
        "PersistentVolumeClaim/data-a-redis-0 keeps its size and class: the template is for new claims",
    )


def test_a_selector_is_replaced_and_an_unknown_refusal_is_a_problem() -> None:
    spec = cluster(group("b", 2))
    live = [stored(item) for item in manifests(spec, FACTS)]
    live[-1]["spec"]["selector"]["matchLabels"] = {"old": "label"}
    answers = {key_of(item): stored(item, 2) for item in manifests(spec, FACTS)}
    key = ("Deployment", "a-b-worker")
    del answers[key]
    made = make(manifests(spec, FACTS), live, answers, desired=spec, applied=spec, refusals={key: IMMUTABLE})
    change = the(made, "Deployment/a-b-worker")
    assert (change.action, change.restarts) == (Action.REPLACE, 2)
    assert change.reason == "selector cannot be changed in place"
    made = make(
        manifests(spec, FACTS), live, answers, desired=spec, applied=spec, refusals={key: "no such luck"}
    )
    assert made.problems == ("Deployment/a-b-worker is refused by the server: no such luck",)


def test_a_foreign_object_with_our_name_is_a_problem_and_left_alone() -> None:
    spec = cluster()
    live = {"kind": "Deployment", "metadata": {"name": "a-head"}}
    other = {"kind": "Service", "metadata": {"name": "a-head-svc", "labels": {"raystead.io/cluster": "b"}}}
    made = make(manifests(spec, FACTS), [live, other], {}, desired=spec)
    assert [p.partition(";")[0] for p in made.problems] == [
        'Service/a-head-svc exists and belongs to the cluster "b"',
        "Deployment/a-head exists and was not made by raystead",
    ]
    assert the(made, "Deployment/a-head").action is Action.UNCHANGED


def test_what_controllers_made_and_the_anchor_are_never_deleted() -> None:
    ours = {"labels": {"raystead.io/cluster": "a"}}
    extra = (
        {"kind": "Pod", "metadata": {"name": "a-head-1", **ours}},
        {"kind": "ReplicaSet", "metadata": {"name": "a-head-1", **ours}},
        {"kind": "EndpointSlice", "metadata": {"name": "a-head-svc-x", **ours}},
        {"kind": "ConfigMap", "metadata": {"name": names.anchor("a"), **ours}},
    )
    assert not plan(cluster(), cluster(), extra=extra).mutates


def test_an_object_still_being_deleted_is_made_anew() -> None:
    spec = cluster()
    live = [stored(item) for item in manifests(spec, FACTS)]
    live[-1]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    answers = {key_of(item): stored(item, 2) for item in manifests(spec, FACTS)}
    change = the(make(manifests(spec, FACTS), live, answers, desired=spec, applied=spec), "Deployment/a-head")
    assert (change.action, change.reason) == (Action.REPLACE, "the old one is still being deleted")


def test_a_newer_raystead_names_what_it_changes_by_itself() -> None:
    before, after = cluster(group("b", 2)), cluster(group("b", 3))
    live = [stored(item) for item in manifests(before, FACTS)]
    live[-1]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 31  # what 0.0.1 rendered
    old_service = {"kind": "Service", "metadata": {"name": "a-old", "labels": {"raystead.io/cluster": "a"}}}
    answers = {key_of(i): stored(i, 2) for i in manifests(after, FACTS)}
    made = make(
        manifests(after, FACTS),
        [*live, old_service],
        answers,
        desired=after,
        applied=before,
        previous=manifests(before, FACTS),
        rendered_by="0.0.1",
    )
    by = {field.path: field.by for field in the(made, "Deployment/a-b-worker").fields}
    assert by == {
        "spec.replicas": By.SPEC,
        "spec.template.spec.terminationGracePeriodSeconds": By.VERSION,
    }
    assert made.notes[0] == (
        f"Deployment/a-b-worker: raystead {__version__} changes spec.template.spec.terminationGracePeriodSeconds "
        "by itself (0.0.1 made it); 2 pods restart for that alone"
    )
    assert made.notes[1].startswith(f"Service/a-old: raystead {__version__} deletes it by itself")


def test_a_newer_raystead_restarts_no_head_for_its_stewards_program() -> None:
    spec = cluster(group("b", 2), enableInTreeAutoscaling=True)
    live = [stored(item) for item in manifests(spec, FACTS)]
    steward = next(i for i in live if key_of(i) == ("ConfigMap", "raystead-a-steward"))
    steward["data"]["hands.py"] = "pass"  # what 0.0.1 shipped
    answers = {key_of(item): stored(item, 2) for item in manifests(spec, FACTS)}
    previous = manifests(spec, FACTS)
    made = make(
        manifests(spec, FACTS), live, answers, desired=spec, applied=spec, previous=previous, rendered_by="0"
    )
    assert made.restarts == 0
    assert made.notes == (
        f"ConfigMap/raystead-a-steward: raystead {__version__} changes data[hands.py] by itself (0 made it); "
        "what runs goes on with the program that it has until its pod restarts",
    )


def test_what_is_not_as_applied_is_told_from_the_spec() -> None:
    spec = cluster(group("b", 2))
    live = [stored(item) for item in manifests(spec, FACTS) if item["kind"] != "Service"]
    live[-1]["spec"]["replicas"] = 7
    answers = {key_of(item): stored(item, 2) for item in manifests(spec, FACTS)}
    made = make(
        manifests(spec, FACTS),
        live,
        answers,
        desired=spec,
        applied=spec,
        previous=manifests(spec, FACTS),
        rendered_by=__version__,
    )
    assert made.notes == (
        "Service/a-head-svc was applied and is not there; it is created again",
        "Deployment/a-b-worker: spec.replicas is not as it was applied; it is set back",
    )


def test_suspend_stops_all_and_says_where_the_state_stays() -> None:
    made = plan(
        cluster(group("b", 2), storage="redis"), cluster(group("b", 2), storage="redis", suspend=True)
    )
    assert (made.restarts, made.stops) == (0, 4)
    assert the(made, "Deployment/a-head").loses == "what runs; actors' state stays in Redis a-redis:6379"


def test_no_secret_value_stands_in_a_plan() -> None:
    def with_secrets(value: str) -> RayCluster:
        env = [
            {"name": "HF_TOKEN", "value": value},
            {"name": "AWS_SECRET_ACCESS_KEY", "value": value},
            {"name": "BROKER", "value": f"amqp://me:{value}@host"},
            {"name": value[:0] + "DB_PASSWORD_OLD" + value[-1], "value": value},
        ]
        words = ["--api-key", value, f"--db-password={value}"]
        return cluster(group("b", args=words), env=env, annotations={"x/api-key": value})

    made = plan(with_secrets("PLANTED-1"), with_secrets("PLANTED-2"))
    text = json.dumps([[f.path, f.before, f.after] for c in made.changes for f in c.fields])
    assert "env[HF_TOKEN].value" in text
    assert "PLANTED" not in text


def test_secrets_are_compared_by_the_names_of_their_keys() -> None:
    spec = cluster()
    wanted = {"kind": "Secret", "metadata": {"name": "a", "labels": {"raystead.io/cluster": "a"}}}
    live = {**wanted, "data": {"auth_token": "UExBTlRFRA=="}}
    made = make([{**wanted, "stringData": {"auth_token": "x"}}], [live], {}, desired=spec)
    assert the(made, "Secret/a").action is Action.UNCHANGED
    made = make([{**wanted, "stringData": {"other": "x"}}], [live], {}, desired=spec)
    (field,) = the(made, "Secret/a").fields
    assert (field.path, field.before, field.after) == ("data.other", None, "***")
