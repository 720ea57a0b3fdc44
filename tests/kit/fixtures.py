"""Fixtures of every test that speaks to an API server, be it the bare one of tests/api or a whole cluster.

A conftest.py imports them all and adds `admin` and `log`, which say where the server is.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import places
import pytest
import yaml
from audit import Audit
from kube import Kube, until
from places import DENY_ALL

GUIDE = Path(__file__).resolve().parents[1] / "data" / "guide"
USERS = "raystead-users"


def has_account(kube: Kube) -> None:
    """No pod is admitted before the namespace has its ServiceAccount, which a controller makes."""
    account = ("get", "serviceaccount", "default")
    until(lambda: kube.run(*account, check=False).returncode == 0, 30, "the namespace has its ServiceAccount")


@contextmanager
def fresh(admin: Kube) -> Iterator[Kube]:
    """A namespace without any rule, for as long as the context lasts."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    admin.run("create", "namespace", name)
    try:
        has_account(admin.at(name))
        yield admin.at(name)
    finally:
        admin.run("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def space(admin: Kube) -> Iterator[Kube]:
    """One namespace for all tests of a module."""
    with fresh(admin) as kube:
        yield kube


@pytest.fixture
def namespace(admin: Kube) -> Iterator[Callable[..., Kube]]:
    """Makes a namespace and answers the administrator in it; all are deleted after the test."""
    made = []

    def make(
        *,
        security: str = "baseline",
        deny: bool = False,
        quota: dict[str, str] | None = None,
        limits: bool = False,
        volumes: bool = True,
    ) -> Kube:
        name = f"t-{uuid.uuid4().hex[:8]}"
        labels = {"pod-security.kubernetes.io/enforce": security}
        if not volumes:
            labels["raystead.test/volumes"] = "never"
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        made.append(name)
        kube = admin.at(name)
        has_account(kube)
        if deny:
            kube.apply(DENY_ALL)
        if quota:
            kube.apply(
                {
                    "apiVersion": "v1",
                    "kind": "ResourceQuota",
                    "metadata": {"name": "quota"},
                    "spec": {"hard": quota},
                }
            )
        if limits:
            default = {"cpu": "200m", "memory": "128Mi"}
            limit = {"type": "Container", "default": default, "defaultRequest": default, "max": {"cpu": "2"}}
            kube.apply(
                {
                    "apiVersion": "v1",
                    "kind": "LimitRange",
                    "metadata": {"name": "limits"},
                    "spec": {"limits": [limit]},
                }
            )
        return kube

    yield make
    if made:
        admin.run("delete", "namespace", *made, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="session")
def place_policies(admin: Kube) -> None:
    places.install(admin)


@pytest.fixture
def place(admin: Kube, place_policies: None) -> Iterator[Callable[[str], Kube]]:
    """Makes a namespace as one of `places.PLACES` is and answers the administrator in it; deleted after the test."""
    made: list[str] = []

    def make(kind: str) -> Kube:
        assert kind in places.PLACES
        name = f"t-{kind[:4]}-{uuid.uuid4().hex[:8]}"
        metadata = {
            "name": name,
            "labels": places.labels(kind),
            "annotations": places.annotations(kind, uuid.uuid4().int % 90_000),
        }
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made.append(name)
        kube = admin.at(name)
        has_account(kube)
        if objects := places.objects(kind):
            kube.apply(*objects)
        places.await_policies(kube, kind)
        return kube

    yield make
    if made:
        admin.run("delete", "namespace", *made, "--wait=false", "--ignore-not-found")


def user_in(admin: Kube, kube: Kube, role: str, folder: Path) -> Kube:
    """A user with that role in that namespace: a ServiceAccount from elsewhere, its token in a kubeconfig."""
    name = f"{kube.namespace}-{role}"
    admin.at(USERS).run("create", "serviceaccount", name)
    account = f"--serviceaccount={USERS}:{name}"
    kube.run("create", "rolebinding", f"test-{role}", f"--clusterrole={role}", account)
    token = admin.at(USERS).out("create", "token", name, "--duration=2h").strip()
    config = yaml.safe_load(admin.out("config", "view", "--raw", "--minify", "--flatten"))
    config["users"] = [{"name": name, "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": name, "namespace": kube.namespace}
    path = folder / f"{name}.conf"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return Kube(admin.kubectl, path, kube.namespace, f"system:serviceaccount:{USERS}:{name}")


@pytest.fixture(scope="session")
def as_user(admin: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kube, str], Kube]]:
    """A user with `view`, `edit` or `admin` in one namespace and nothing else.

    So it works on every cluster, and each test's user has a name of his own in the audit log.
    """
    made: list[Kube] = []
    folder = tmp_path_factory.mktemp("users")

    def make(kube: Kube, role: str) -> Kube:
        made.append(user_in(admin, kube, role, folder))
        return made[-1]

    yield make
    if made:
        accounts = [user.user.rpartition(":")[2] for user in made]
        admin.at(USERS).run("delete", "serviceaccount", *accounts, "--ignore-not-found")


@pytest.fixture
def audit(log: Path) -> Audit:
    return Audit(log)


@pytest.fixture(scope="session")
def guide() -> Path:
    return GUIDE


@pytest.fixture
def documents() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda path: [d for d in yaml.safe_load_all(path.read_text()) if d]
