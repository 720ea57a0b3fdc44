"""A plan shows the values that are known to be harmless; of every other it says that it changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raystead.base.secrets import HIDDEN, is_secret_name, masked_text
from raystead.plan.fields import differences

PEM = "-----BEGIN RSA PRIVATE KEY-----\nPLANTED\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJQTEFOVEVEIjoxfQ.PLANTED"


def pod(**container: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "ray", "image": "ray:1", **container}]}}
    return {"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 1, "template": template}}


def env(name: str, value: Any) -> dict[str, Any]:
    return pod(env=[{"name": name, "value": value}])


@pytest.mark.parametrize("was", ["added", "changed"])
@pytest.mark.parametrize(
    "name, value",
    [
        ("DB_PASS", "PLANTED"),
        ("DB_PASS", "123456"),
        ("MYSQL_PWD", "PLANTED"),
        ("JWT", "PLANTED"),
        ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/PLANTED"),
        ("TLS_CERT", PEM),
        ("DATABASE_URL", "postgres://me:PLANTED@db/x"),
        ("SENTRY_DSN", "https://PLANTED@sentry.io/1"),
        ("GREETING", "PLANTED"),
        ("RAY_REDIS_PASSWORD", "PLANTED"),
        ("RAY_AUTH_TOKEN", "PLANTED"),
        ("RAY_ADDRESS", "redis://:PLANTED@redis:6379"),
        ("PYTHONPATH", f"x {JWT}"),
    ],
)
def test_values_of_variables_are_hidden(name: str, value: str, was: str) -> None:
    before = pod() if was == "added" else env(name, "other")
    changes = differences(before, env(name, value))
    assert "PLANTED" not in json.dumps([c.after for c in changes])
    assert value not in json.dumps([c.after for c in changes])
    assert name in changes[0].path + json.dumps(changes[0].after)
    shown = differences(before, env(name, value), reveal=True)
    assert value in json.dumps([c.after for c in shown]).replace("\\n", "\n")


@pytest.mark.parametrize(
    "name, value",
    [
        ("EPOCHS", "3"),
        ("VERBOSE", "true"),
        ("TIMEOUT", "30s"),
        ("RAY_memory_monitor_refresh_ms", "0"),
        ("RAY_AUTH_MODE", "token"),
        ("RAY_AUTH_TOKEN_PATH", "/run/token"),
        ("NCCL_SOCKET_IFNAME", "eth0"),
        ("PATH", "/usr/bin:/bin"),
        ("EMPTY", ""),
    ],
)
def test_harmless_variables_are_shown(name: str, value: str) -> None:
    (change,) = differences(env(name, "7"), env(name, value))
    assert change.after == value


@pytest.mark.parametrize(
    "before, after, shown",
    [
        (pod(), pod(image="ray:2"), ["ray:1", "ray:2"]),
        (pod(), pod(resources={"limits": {"memory": "4Gi"}}), [None, {"limits": {"memory": "4Gi"}}]),
        (pod(), pod(ports=[{"name": "x", "containerPort": 1}]), [None, [{"name": "x", "containerPort": 1}]]),
        (pod(args=["--api-key", "a"]), pod(args=["--api-key", "b"]), [["--api-key", HIDDEN]] * 2),
        (
            pod(),
            pod(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            [None, [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]],
        ),
    ],
)
def test_fields_that_people_change_are_shown(before: Any, after: Any, shown: list[Any]) -> None:
    (change,) = differences(before, after)
    assert [change.before, change.after] == shown


@pytest.mark.parametrize(
    "path, value",
    [
        (("data", "app.conf"), "user=me PLANTED"),
        (("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"), '{"x": "PLANTED"}'),
        (("metadata", "annotations", "example.com/api-key"), "PLANTED"),
        (("spec", "someField"), "PLANTED"),
    ],
)
def test_what_is_not_known_is_hidden(path: tuple[str, ...], value: str) -> None:
    tree: Any = value
    for key in reversed(path):
        tree = {key: tree}
    assert "PLANTED" not in json.dumps([c.after for c in differences({}, tree)])


@pytest.mark.parametrize(
    "text",
    [
        "curl -H 'Authorization: Bearer PLANTED12' x",
        "mysql --password=PLANTED",
        "mysql --password 'PLANTED x'",
        "export DB_PASSWORD=PLANTED; run",
        '{"token": "PLANTED"}',
        "redis://:PLANTED@h:1/0",
        "postgres://me:p@PLANTED@h/0",
        f"x {PEM} y",
        JWT,
        "https://hooks.slack.com/services/T0/B0/PLANTED",
        "ghp_PLANTED0123456789",
        "hvs.PLANTED0123456789",
        "sk_live_PLANTED0123456789",
        "git clone https://PLANTED0123456789@github.com/a/b",
        "curl -u me:PLANTED https://x",
        "curl --user 'me:PLANTED' https://x",
        "mysql -h db -pPLANTED1 x",
        "redis-server --requirepass PLANTED",
        "requirepass PLANTED",
        "redis-cli -h x -a PLANTED ping",
        "docker login -u me -p PLANTED registry",
        "run --gh-pat PLANTED",
        "https://x.blob.core.windows.net/a?sv=1&sig=PLANTED",
    ],
)
def test_texts_lose_what_looks_like_a_secret(text: str) -> None:
    assert "PLANTED" not in masked_text(text)
    assert HIDDEN in masked_text(text)


@pytest.mark.parametrize(
    "text",
    [
        'ray start --head --redis-password="$REDIS_PASSWORD" --port=6379',
        'ask for the right "create" on "secrets": raystead doctor --rbac',
        "raystead token --env",
        "https://10.0.0.1:6443/api/v1/namespaces/a/secrets",
        "secret/ray-cluster lacks the key auth_token",
        "image rayproject/ray@sha256:0123456789abcdef0123456789abcdef cannot be pulled",
        "nothing has the label raystead.io/cluster=ray-cluster-with-auth\n  do     raystead list",
        "raystead logs my-secret-head-0 --previous",
        "docker run -u 1000:1000 -p8080:80 x",
        "python -pdb train.py -port 8080 -path=/a9/b",
        "ssh://git@github.com/a/b",
        "run --bypass yes --keyboard us --pattern x1",
        "redis-cli -a $REDIS_PASSWORD ping",
        "pod/my-key-head-0 is pending, my-token worker too",
    ],
)
def test_plain_texts_stay_as_they_are(text: str) -> None:
    assert masked_text(text) == text


def test_names_that_tell_where_a_secret_is_are_no_secrets() -> None:
    for name in (
        "RAY_AUTH_TOKEN_PATH",
        "RAY_AUTH_MODE",
        "secretName",
        "monkey",
        "passive",
        "author",
        "keyboard",
    ):
        assert not is_secret_name(name)
