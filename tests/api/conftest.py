"""Fixtures of the tests that need an API server and no pod that runs: `make test-api`.

Each worker of pytest has a server of its own on loopback, so a test may even change what is cluster-wide.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare import BINARIES, Server, started
from fixtures import *  # noqa: F403
from kube import Kube
from settings import binary


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    missing = [name for name in BINARIES if not binary(name).exists()]
    if missing:
        reason = f"{', '.join(missing)} not built yet: testcluster/build.sh {' '.join(BINARIES)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = started(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def admin(server: Server) -> Kube:
    return server.admin


@pytest.fixture(scope="session")
def log(server: Server) -> Path:
    """The audit log itself."""
    return server.log
