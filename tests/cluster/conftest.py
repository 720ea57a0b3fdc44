"""Fixtures of the tests on a real Kubernetes: users, namespaces of every kind, the audit log, faults.

The cluster is ours (`make cluster`, in a network namespace that the test process enters for the session)
or, with RAYSTEAD_TEST_KUBECONFIG, anybody's: then what needs our machine (audit log, some faults,
policies) is skipped.
"""

import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit import Audit
from faults import Faults
from kube import Kube, until

SCRIPTS = Path(__file__).resolve().parents[2] / "testcluster"
GUIDE = Path(__file__).resolve().parents[1] / "data" / "guide"
CLONE_NEWNET = 0x40000000
USERS = "raystead-users"
DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


def setting(expression: str) -> str:
    done = subprocess.run(
        ["bash", "-c", f"source {SCRIPTS}/env.sh; echo {expression}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def enter(namespace: str) -> None:
    """Moves this thread, and all it starts from now on, into a network namespace."""
    with open(namespace, "rb") as stream:  # noqa: PTH123
        if ctypes.CDLL(None, use_errno=True).setns(stream.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


@pytest.fixture(scope="session")
def ours() -> bool:
    return not os.environ.get("RAYSTEAD_TEST_KUBECONFIG")


@pytest.fixture(scope="session")
def admin(ours: bool) -> Iterator[Kube]:
    """The cluster's administrator."""
    if not ours:
        kubectl = shutil.which("kubectl") or setting("$(binary kubectl)")
        kube = Kube(Path(kubectl), Path(os.environ["RAYSTEAD_TEST_KUBECONFIG"]))
        kube.run("create", "namespace", USERS, check=False)
        yield kube
        return
    inside = setting("$NETNS")
    if not os.path.ismount(inside):
        reason = "the test cluster is not up: make cluster"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    kube = Kube(Path(setting("$(binary kubectl)")), Path(setting("$PKI/admin.conf")))
    with open("/proc/self/ns/net", "rb") as home:  # noqa: PTH123
        enter(inside)
        yield kube
        enter(f"/proc/self/fd/{home.fileno()}")


@pytest.fixture(scope="session")
def own_cluster(ours: bool, admin: Kube) -> Path:
    """testcluster/, for a test that needs our machine: its policies, its log, its processes."""
    if not ours:
        pytest.skip("needs our own test cluster, not RAYSTEAD_TEST_KUBECONFIG")
    return SCRIPTS


def has_account(kube: Kube) -> None:
    """No pod is admitted before the namespace has its ServiceAccount, which a controller makes."""
    account = ("get", "serviceaccount", "default")
    until(lambda: kube.run(*account, check=False).returncode == 0, 30, "the namespace has its ServiceAccount")


@pytest.fixture(scope="module")
def space(admin: Kube) -> Iterator[Kube]:
    """One namespace for all tests of a module."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    admin.run("create", "namespace", name)
    has_account(admin.at(name))
    yield admin.at(name)
    admin.run("delete", "namespace", name, "--wait=false")


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


@pytest.fixture(scope="session")
def log(own_cluster: Path) -> Path:
    """The audit log itself."""
    return Path(setting("$RUN/log/audit.json"))


@pytest.fixture
def audit(log: Path) -> Audit:
    return Audit(log)


@pytest.fixture
def faults(admin: Kube, ours: bool) -> Faults:
    return Faults(admin, SCRIPTS if ours else None)


@pytest.fixture
def machine_faults(own_cluster: Path, faults: Faults) -> Faults:
    """Faults that need our machine."""
    return faults


@pytest.fixture(scope="session")
def guide() -> Path:
    return GUIDE


@pytest.fixture
def documents() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda path: [d for d in yaml.safe_load_all(path.read_text()) if d]
