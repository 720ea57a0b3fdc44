"""What every ring of tests has in common: which tests stay together on one worker, and what a run took."""

import os
import signal
from collections import defaultdict
from collections.abc import Generator, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

TOGETHER = ("survivor", "running")  # fixtures that are a Ray cluster for all files that take them
LONGEST_FIRST = (  # so that no worker begins a long group when the others are done
    "local",  # one Ray at a time on this machine: two that start at once may choose one port
    *TOGETHER,
    "test_autoscaling",
    "test_in_places",
    "test_autoscaling_demand",
    "test_explain",
    "test_up_files",
    "test_rayjob",
    "test_up",
    "test_autoscaled_ends",
    "test_raycronjob",
    "test_secrets",
    "test_closed",
    "test_walk_there",
    "test_explain_verb",
    "test_run",
    "test_readme",
    "test_status",
    "test_guide",
)
WITHIN_GROUP = (
    "test_jobs",
    "test_scale",
    "test_verify",
    "test_connect",
    "test_redis_loss",
    "test_head_loss",
)
SLOW = 60.0  # seconds; a test that takes longer says why in its docstring's first line


@cache
def group_of(path: Path) -> str:
    """A file's tests stay together on one worker, and so do the files that share a cluster."""
    if path.parent.name == "local":
        return "local"
    text = path.read_text()
    return next((name for name in TOGETHER if f"{name}: {name.capitalize()}" in text), path.stem)


def _place(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else len(names)


def pytest_configure() -> None:
    """Ctrl-C reaches what tests start, also from a shell's background job (its children would ignore it); slowness is no failure."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Our commands are compiled once, as where pip installed them, not by each process: that doubled their CPU time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # How fast a busy machine makes examples says nothing about what is tested.
    current = settings.get_profile(settings.get_current_profile_name())
    slow = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("busy machine", current, **slow)
    settings.load_profile("busy machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest groups begin first, and beside other tests each gets more time."""
    items.sort(
        key=lambda item: (
            _place(group_of(item.path), LONGEST_FIRST),
            _place(item.path.stem, WITHIN_GROUP),
            item.path.stem,
        )
    )
    for item in items:
        if hasattr(config, "workerinput") and (limit := item.get_closest_marker("timeout")) and limit.args:
            item.add_marker(pytest.mark.timeout(3 * limit.args[0]), append=False)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` by our groups. (pytest-xdist's own `loadgroup` groups nothing with pytest 9.)"""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(config.rootpath / nodeid.split("::")[0])

    return Groups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    doc = getattr(getattr(item, "function", None), "__doc__", None) or ""
    report.user_properties.append(("why", doc.strip().split("\n")[0]))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The sum of all durations, and which slow tests do not say why."""
    took: dict[str, float] = defaultdict(float)
    why: dict[str, str] = {}
    for report in _reports(terminalreporter.stats.values()):
        took[report.nodeid] += report.duration
        why[report.nodeid] = dict(report.user_properties).get("why", "")
    if not took:
        return
    terminalreporter.write_line(
        f"{len(took)} tests took {sum(took.values()) / 60:.1f} min, summed over all workers"
    )
    for nodeid, seconds in sorted(took.items(), key=lambda pair: -pair[1]):
        if seconds > SLOW and not why[nodeid]:
            terminalreporter.write_line(
                f"over {SLOW:.0f} s without a docstring that says why: {seconds:.0f} s {nodeid}"
            )


def _reports(groups: Iterable[list[Any]]) -> list[pytest.TestReport]:
    return [report for group in groups for report in group if isinstance(report, pytest.TestReport)]
