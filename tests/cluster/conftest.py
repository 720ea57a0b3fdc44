"""Fixtures of the tests on a real Kubernetes: users, namespaces of every kind, the audit log, faults.

The cluster is ours (`make cluster`, in a network namespace that the test process enters for the session)
or, with RAYSTEAD_TEST_KUBECONFIG, anybody's: then what needs our machine (audit log, some faults,
policies) is skipped.
"""

import ctypes
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli import Cli
from faults import Faults
from fixtures import *  # noqa: F403
from fixtures import USERS, fresh
from kube import Kube
from settings import SCRIPTS, binary, setting
from shared import Running
from survivor import Survivor

CLONE_NEWNET = 0x40000000


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
        kubectl = Path(shutil.which("kubectl") or binary("kubectl"))
        kube = Kube(kubectl, Path(os.environ["RAYSTEAD_TEST_KUBECONFIG"]))
        kube.run("create", "namespace", USERS, check=False)
        yield kube
        return
    inside = setting("$NETNS")
    if not os.path.ismount(inside):
        reason = "the test cluster is not up: make cluster"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    kube = Kube(binary("kubectl"), Path(setting("$PKI/admin.conf")))
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


@pytest.fixture(scope="session")
def log(own_cluster: Path) -> Path:
    """The audit log itself."""
    return Path(setting("$RUN/log/audit.json"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: Any, nextitem: Any) -> Generator[None, object, object]:
    """A cluster that tests share ends with the last of them; until the session's end it would take CPU from the others."""
    result = yield
    for name in {"shared_cluster", "survivor"} & set(item.fixturenames):
        if nextitem is not None and name not in nextitem.fixturenames:
            item._fixtureinfo.name2fixturedefs[name][-1].finish(item._request)
    return result


@pytest.fixture
def faults(admin: Kube, ours: bool) -> Faults:
    return Faults(admin, SCRIPTS if ours else None)


@pytest.fixture
def machine_faults(own_cluster: Path, faults: Faults) -> Faults:
    """Faults that need our machine."""
    return faults


@pytest.fixture(scope="session")
def shared_cluster(admin: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Running]:
    """Behind `running`: started once for all of a worker's tests."""
    with fresh(admin) as space:
        running = Running(space, Cli(as_user(space, "edit")))
        yield running
        running.cli("down", "--yes", "--ignore-not-found")


@pytest.fixture
def running(shared_cluster: Running) -> Running:
    """The built-in cluster, whole: a head, two workers, Redis. A test may break it, the next one finds it mended."""
    shared_cluster.mend()
    return shared_cluster


@pytest.fixture(scope="session")
def survivor(own_cluster: Path, admin: Kube, as_user: Callable[[Kube, str], Kube]) -> Iterator[Survivor]:
    """One cluster with the pulse running, for all tests that ask what a loss costs; each leaves it whole."""
    with fresh(admin) as space:
        user = as_user(space, "edit")
        alive = Survivor(user, Cli(user))
        alive.raystead("up", "--head-cpu", "2", timeout=800)  # a head starved of CPU for 30 s gives up
        alive.start()
        yield alive
        alive.raystead("down", "--yes")
