"""An API server that is away under `up`, under its wait, under `down` and while a cluster grows is waited for."""

import time
from collections.abc import Callable

import pytest
from audit import Audit
from autoscaled import MORE, Auto, spec
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


def test_workers_wanted_while_the_api_server_is_away_for_five_minutes_come_after_it(
    machine_faults: Faults, namespace: Callable[..., Kube], as_user: Callable[[Kube, str], Kube]
) -> None:
    """With both of Ray's autoscalers, in one outage."""
    clusters, kept = {}, {}
    for version in ("v1", "v2"):
        space = namespace()
        clusters[version] = Auto(space, Cli(as_user(space, "admin")))
        clusters[version].cli("up", "-f", "-", "--wait=false", stdin=spec(version))
    later = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {'import time; time.sleep(20)' + chr(10) + MORE!r}, 'a', 'b'], start_new_session=True)"
    for version, auto in clusters.items():
        auto.cli("up", "--name", "auto")
        (kept[version],) = auto.have("a")
        auto.run(later)
    with machine_faults.no_api_server():
        time.sleep(300)
    for version, auto in clusters.items():
        until(lambda auto=auto: len(auto.names()) == 2, 120, f"{version}: the second worker comes", every=1)
        hosts = auto.have("a", "b")
        assert hosts[0] == kept[version], "a busy worker outlives it"
        assert set(hosts) == auto.names()
        auto.kill("a", "b")
    for auto in clusters.values():
        auto.empty()
        auto.cli("down", "--yes")
