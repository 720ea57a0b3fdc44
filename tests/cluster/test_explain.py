"""Causes made for real, as a user with `edit`: each is found by name, first, and alone."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import explain_cases
import pytest
import snapshots
import yaml
from explain_cases import Case, Made, Registry, secret
from faults import Faults
from kube import Kube, until

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
SECONDS = 300  # on a quiet machine 110 suffice
_QUOTA = {"requests.cpu": "250m", "limits.cpu": "8"}


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.server.shutdown()


def spaces(namespace: Callable[..., Kube], admin: Kube) -> dict[str, Kube]:
    made = {
        "shared": namespace(),
        "quota": namespace(quota=_QUOTA),
        "limits": namespace(limits=True),
        "restricted": namespace(security="restricted"),
        "webhook": namespace(),
        "denied": namespace(),
        "goes": admin.at(f"t-goes-{uuid.uuid4().hex[:8]}"),
    }
    admin.run("create", "namespace", made["goes"].namespace)
    hook = made["webhook"].namespace
    admin.apply(_webhook(hook), *_policy(made["denied"].namespace))
    made["goes"].apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "stays", "finalizers": ["raystead.test/stays"]},
        }
    )
    return made


def _webhook(namespace: str) -> Json:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "guard.example.com",
                "clientConfig": {"service": {"name": "nobody", "namespace": namespace, "path": "/"}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 1,
            }
        ],
    }


def _policy(namespace: str) -> list[Json]:
    kind = "admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    return [
        {
            "apiVersion": kind,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "matchConstraints": {"resourceRules": rules},
                "validations": [
                    {
                        "expression": "'team' in object.metadata.labels",
                        "message": "every pod needs a label team",
                    }
                ],
            },
        },
        {
            "apiVersion": kind,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {
                "policyName": namespace,
                "validationActions": ["Deny"],
                "matchResources": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
                },
            },
        },
    ]


@pytest.mark.timeout(500)
def test_every_cause_made_for_real_is_found_by_name_first_and_alone(
    namespace: Callable[..., Kube],
    as_user: Callable[[Kube, str], Kube],
    admin: Kube,
    machine_faults: Faults,
    registry: Registry,
) -> None:
    """Over 60 s: all broken clusters are made at once, and some causes need minutes to show."""
    where = spaces(namespace, admin)
    users = {name: as_user(kube, "edit") for name, kube in where.items()}
    cases = explain_cases.cases(registry.host)
    patterns: dict[tuple[str, tuple[str, ...]], Made] = {}
    made = {c.name: explain_cases.make(c, patterns) for c in cases}
    try:
        for space, user in users.items():
            documents = [d for c in cases if c.space == space for d in _documents(made[c.name])]
            user.apply(*[yaml.safe_dump(d) for d in documents])
        started = time.monotonic()
        users["goes"] = where["goes"]  # the edit user's own rights go with the namespace
        where["goes"].run("delete", "namespace", where["goes"].namespace, "--wait=false")
        with ThreadPoolExecutor(1) as pool:
            kill = pool.submit(_kill, machine_faults, where["shared"], "killed-worker-worker")
            found = _watch(users, cases, made, started)
            kill.result()
    finally:
        admin.run(
            "delete", "validatingwebhookconfiguration", where["webhook"].namespace, "--ignore-not-found"
        )
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            admin.run("delete", kind, where["denied"].namespace, "--ignore-not-found")
        where["goes"].run(
            "patch", "configmap", "stays", "--type=json", '-p=[{"op":"remove","path":"/metadata/finalizers"}]', check=False
        )  # fmt: skip
    print("\n".join(f"{name:12} {result}" for name, result in found.items()))
    missed = {c.name: found[c.name] for c in cases if not str(found[c.name]).startswith("found")}
    assert not missed


def _kill(faults: Faults, kube: Kube, start: str) -> None:
    """Signal 9 from outside, once the container runs."""

    def running() -> str:
        pods = [p for p in kube.items("pods") if p["metadata"]["name"].startswith(start)]
        states = [s["state"] for p in pods for s in p["status"].get("containerStatuses", [])]
        return pods[0]["metadata"]["name"] if states and "running" in states[0] else ""

    faults.kill_container(kube, until(running, SECONDS, "the container runs"), "ray")


def _documents(made: Made) -> list[Json]:
    keys = [
        secret(made.name, "auth_token", "t" * 32),
        secret(f"raystead-{made.name}-redis", "password", "right"),
    ]
    return [*keys, *made.objects]


def _watch(
    users: dict[str, Kube], cases: list[Case], made: dict[str, Made], started: float
) -> dict[str, Any]:
    """Looks again and again until each cause was found, or time is up."""
    result: dict[str, Any] = {c.name: "nothing found" for c in cases}
    logs: dict[tuple[str, str, str, bool], str] = {}
    while time.monotonic() - started < SECONDS:
        open_cases = [c for c in cases if not str(result[c.name]).startswith("found")]
        if not open_cases:
            break
        used = {c.space for c in open_cases}
        with ThreadPoolExecutor(4) as pool:
            seen = dict(zip(used, pool.map(lambda s: snapshots.read(users[s], ""), used), strict=True))
        for case in open_cases:
            saved = _of(seen[case.space], made[case.name])
            result[case.name] = _look(users[case.space], case, saved, logs, time.monotonic() - started)
        time.sleep(1)
    return result


def _look(
    user: Kube, case: Case, saved: Json, logs: dict[tuple[str, str, str, bool], str], seconds: float
) -> str:
    from raystead.explain import recording
    from raystead.explain.engine import explain, needed_logs

    keys = needed_logs(recording.snapshot(saved))
    saved["logs"] = snapshots.logs(user, keys)
    found = explain(recording.snapshot(saved))
    if not found:
        return f"nothing found after {seconds:.0f} s"
    first = found[0]
    right = (first.cause, first.group and str(first.group)) == (case.cause, case.group) and (
        len(found) == 1 or not case.alone
    )
    if right and (folder := os.environ.get("RAYSTEAD_RECORD")):
        expected = {"cause": case.cause, "group": case.group}
        Path(folder, f"{case.name}.json").write_text(json.dumps(snapshots.bare(saved, **expected)) + "\n")
    said = [f"{f.cause} ({f.group}, {f.confidence}): {f.why}" for f in found]
    return f"{'found' if right else 'WRONG'} after {seconds:.0f} s: {said}"


def _of(saved: Json, made: Made) -> Json:
    """The snapshot as it is for one of the clusters; its own objects only, which keeps recordings small."""
    name = made.name

    def mine(thing: Json) -> bool:
        said = thing["involvedObject"]["name"] if thing.get("involvedObject") else thing["metadata"]["name"]
        return said == name or said.startswith(f"{name}-") or f"-{name}-" in said

    whole = ("quotas", "limitranges")
    parts = {p: saved[p] if p in whole else [t for t in saved[p] if mine(t)] for p in snapshots.PARTS}
    return {**saved, **parts, "name": name, "cluster": made.spec}


@pytest.mark.timeout(500)
def test_a_cluster_that_starts_runs_and_recovers_yields_nothing_and_its_broken_groups_are_told_apart(
    namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], own_cluster: Path
) -> None:
    """One real head; a good group and four that cannot join it, each for its own reason."""
    user = as_user(namespace(), "edit")
    groups = ("good", "token", "dns", "port", "policy", "nodns")
    made = explain_cases.render("net", "none", groups)
    made.container("token")  # raises if the rendering has no such group
    for v in made.template("token")["spec"]["volumes"]:
        if v["name"] == "ray-token":
            v["secret"]["secretName"] = "net-other"
    for group, address in (("dns", "no-such-head:6379"), ("port", "net-head-svc:1234")):
        container = made.container(group)
        container["args"] = [a.replace("net-head-svc:6379", address) for a in container["args"]]
    made.objects += [
        _egress("policy", dns=True),
        _egress("nodns", dns=False),
        secret("net-other", "auth_token", "u" * 32),
    ]
    user.apply(*[yaml.safe_dump(d) for d in _documents(made)])
    want = {
        "good": [], "headgroup": [], "token": ["token-mismatch"], "dns": ["dns-fails"],
        "port": ["head-unreachable"], "policy": ["policy-blocks"], "nodns": ["policy-blocks-dns"],
    }  # fmt: skip
    last: dict[str, list[str]] = {}
    seen: list[Any] = []

    def all_found() -> bool:
        from raystead.explain import recording
        from raystead.explain.engine import explain

        saved = snapshots.record(user, "net", made.spec)
        found = explain(recording.snapshot(saved))
        seen[:] = [(str(f.group), e) for f in found for e in f.evidence]
        last.clear()
        last.update({g: [f.cause for f in found if str(f.group) == g] for g in groups})
        assert not [f for f in found if str(f.group or "head") in ("head", "good")], found
        if (folder := os.environ.get("RAYSTEAD_RECORD")) and last == {g: want[g] for g in groups}:
            Path(folder, "net.json").write_text(json.dumps(snapshots.bare(saved, groups=last)) + "\n")
        return last == {g: want[g] for g in groups}

    try:
        until(all_found, SECONDS, "each group has its own cause", every=1)
    except AssertionError as error:
        raise AssertionError(f"{error}; found {last}; {seen}") from None


def _egress(group: str, *, dns: bool) -> Json:
    """A policy of somebody's that lets the group out to nobody, or to DNS alone."""
    rule = {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}
    spec: Json = {"podSelector": {"matchLabels": {"ray.io/group": group}}, "policyTypes": ["Egress"]}
    spec["egress"] = [rule] if dns else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"others-{group}"},
        "spec": spec,
    }
