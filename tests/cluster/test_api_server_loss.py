"""An API server that restarts under `up`, under its wait and under `down` is waited for."""

import time
from collections.abc import Callable

import pytest
from audit import Audit
from cli import Cli
from faults import Faults
from kube import Kube, until
from patience import patience

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.long]


def test_an_api_server_that_restarts_under_up_and_under_its_wait_is_waited_for(
    machine_faults: Faults, namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube], audit: Audit
) -> None:
    user = as_user(namespace(), "edit")
    raystead = Cli(user)
    audit.mark()
    running = raystead.start("up", "--timeout", "300")
    until(lambda: any(r.mutates for r in audit.requests(user.user)), 30, "it has begun to write", every=0)
    with machine_faults.no_api_server():
        time.sleep(1)
    until(lambda: len(user.items("pods", "-l", "app=ray-cluster-head")) == 1, 60, "it has gone on")
    time.sleep(2)
    with machine_faults.no_api_server():
        time.sleep(1)
    _, err = running.communicate(timeout=patience(330))
    assert running.returncode == 0, err
    assert "3 nodes" in err
    assert "does not answer" in err


def test_an_api_server_that_restarts_under_down_is_waited_for(
    machine_faults: Faults, namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    user = as_user(namespace(), "edit")
    raystead = Cli(user)
    raystead("up")
    running = raystead.start("down", "--yes")
    until(lambda: not user.items("deployments"), 30, "it has begun", every=0.1)
    with machine_faults.no_api_server():
        time.sleep(1)
    _, err = running.communicate(timeout=patience(120))
    assert running.returncode == 0, err
    assert user.items("pods,services,secrets,persistentvolumeclaims,networkpolicies") == []
