"""Mistakes that need no pod, typed at a real terminal, each with the way out that raystead prints, typed as printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures import fresh
from kube import Kube, until
from terminal import Terminal, raystead_env, same, shows, waits_table

pytestmark = pytest.mark.api
SMALL = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "3Gi"}}]},
}
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "team"},
    "spec": {"hard": {"requests.cpu": "1200m"}},
}
AsUser = Callable[[Kube, str], Kube]


@pytest.fixture
def space(admin: Kube) -> Iterator[Kube]:
    with fresh(admin) as kube:
        yield kube


def at(user: Kube, cwd: Path) -> Terminal:
    env = raystead_env(KUBECONFIG=str(user.kubeconfig), XDG_STATE_HOME=str(cwd / "state"))
    return Terminal({**env, "PATH": f"{env['PATH']}:{user.kubectl.parent}"}, cwd)


@pytest.fixture
def terminal(space: Kube, as_user: AsUser, tmp_path: Path) -> Iterator[Terminal]:
    """An edit user's, in a namespace without a cluster."""
    with at(as_user(space, "edit"), tmp_path) as terminal:
        yield terminal
    print(waits_table("objects only", terminal.waits))


def test_a_size_over_the_limit_and_a_quota_too_small_are_told_with_what_fits(
    terminal: Terminal, space: Kube
) -> None:
    run = terminal.run
    run("raystead up --wait=false")
    space.apply(SMALL)
    asked = run("raystead up --worker-memory 4Gi --wait=false", 1, answers={"[y/N]": "n\n"})
    shows(
        asked,
        """
        ! limits: worker pod will be refused: container ray-worker: the limit of memory 4Gi is over the maximum 3Gi
          do     raystead up --worker-memory 3Gi
                 or send to the administrator: "please change LimitRange small in namespace …: container …"
        the cluster will not be whole (limits). Go on? [y/N]: n
        nothing was changed
        """,
    )
    fits = run(f"{asked.hint('raystead up --worker-memory')} --wait=false", answers={"[y/N]": "y\n"})
    assert "worker: 2 pods restart (memory 1G → 3Gi" in fits.text

    gone = run("raystead down", answers={"[y/N]": "y\n"})
    assert "with 4 pods: its actors, jobs and their state are lost. Go on? [y/N]: y" in gone.text
    space.apply(QUOTA)
    until(lambda: space.get("quota", "team").get("status", {}).get("hard"), 20, "the quota counts")
    looked = run("raystead doctor", 84)
    asked = run("raystead up --wait=false", 1, answers={"[y/N]": "n\n"})
    words = next(line for line in asked.text.splitlines() if line.startswith("! quota: "))
    assert words.removeprefix("! quota: ") in looked.text, "the words of doctor"
    assert asked.hint("raystead up --workers") == looked.hint("raystead up --workers")
    run(f"{asked.hint('raystead up --workers')} --wait=false")


def test_a_quota_that_starves_all_is_why_nothing_answers_and_its_end_is_told_with_the_way_on(
    terminal: Terminal, space: Kube
) -> None:
    run = terminal.run
    space.apply({**QUOTA, "spec": {"hard": {"pods": "0"}}})
    until(lambda: space.get("quota", "team").get("status", {}).get("hard"), 20, "the quota counts")
    run("raystead up --wait=false", answers={"[y/N]": "y\n"})

    def refused() -> bool:
        return sum("exceeded quota" in str(e.get("message")) for e in space.items("events")) >= 3

    until(refused, 30, "all have been refused")
    for verb in ("job list", "job status"):
        why = run(f"raystead {verb}", 73)
        assert "the head does not run: quota `team` refuses" in why.text
        assert "do     send to the administrator" in why.text
    left = run("raystead submit -- true", 130, answers={"the head does not run: quota `team` refuses": "^C"})
    assert left.text.endswith("interrupted; nothing was submitted\nnext: raystead submit -- true")
    explained = run("raystead explain").text
    assert "a pod needs 1 of pods, 0 of 0 are used" in explained
    space.run("patch", "quota", "team", "-p", '{"spec":{"hard":{"pods":"9"}}}')
    until(lambda: space.get("quota", "team")["status"]["hard"]["pods"] == "9", 20, "the quota counts anew")
    over = run("raystead explain")
    if "has room now (" in over.text:  # else the controllers were quicker
        assert "tries again by itself, ever more slowly after each refusal" in over.text
        run(f"{over.hint('raystead up')} --timeout 8s", 68)  # ready they are never, here
    until(lambda: len(space.items("pods")) == 4, 30, "all pods are made")


def test_a_conflict_is_shown_with_all_the_rest_and_taken_over_as_printed(
    terminal: Terminal, space: Kube
) -> None:
    run = terminal.run
    run("raystead up --name mine --wait=false")
    space.run("scale", "deployment/mine-worker-worker", "--replicas=1")
    planned = run("raystead plan --name mine --worker-memory 2Gi", 79)
    assert "resources.limits.memory 1G → 2Gi" in same(planned.text.replace("\n", " "))
    take = planned.hint("raystead plan --name mine --worker-memory 2Gi --force-conflicts")
    applies = run(take).hint("raystead up")
    assert applies == "raystead up --name mine --worker-memory 2Gi --force-conflicts"
    no = run(f"{applies} --wait=false", 1, answers={"[y/N]": "n\n"})
    assert no.text.endswith("nothing was changed")
    assert space.get("deployment", "mine-worker-worker")["spec"]["replicas"] == 1
    run(f"{applies} --wait=false", answers={"[y/N]": "y\n"})
    assert space.get("deployment", "mine-worker-worker")["spec"]["replicas"] == 2
    changed = run("raystead plan --name mine --workers 3 --exit-code", 1)
    run(f"{changed.hint('raystead up')} --wait=false")
    run("raystead plan --name mine --workers 3 --exit-code")


def test_data_that_is_kept_is_listed_and_deleted_and_a_bare_up_beside_it_asks(
    terminal: Terminal, space: Kube
) -> None:
    run = terminal.run
    run("raystead up --name mine --wait=false")
    shows(
        run("raystead up --wait=false", 1, answers={"[y/N]": "n\n"}),
        """
        "ray-cluster" would be a new cluster next to mine in namespace …. Go on? [y/N]: n
        nothing was changed
        """,
    )
    late = run("raystead up --name mine --timeout 2s", 68)
    assert late.hint("raystead up") == "raystead up --name mine waits again"
    run(late.hint("raystead explain"), code=0)
    until(lambda: space.items("pvc"), 30, "Redis has its claim")
    kept = run("raystead down --keep-data", answers={"[y/N]": "y\n"})
    assert "pods: its volume is kept. Go on?" in kept.text
    assert "(raystead up --name mine finds the state again)" in kept.text
    listed = run("raystead list")
    assert "mine data kept" in same(listed.text)
    assert "raystead down mine deletes it" in listed.text
    shows(
        run("raystead down mine", answers={"[y/N]": "y\n"}),
        """
        delete "mine" in namespace …: the data that was kept is lost. Go on? [y/N]: y
        1 object deleted, the last PersistentVolumeClaim/data-mine-redis-0
        ▸ "mine" is gone: 1 object   … s
        """,
    )
    assert run("raystead list").text.startswith("no cluster in namespace ")
    assert not space.items("pvc")


def test_slips_in_files_words_and_places_are_refused_with_what_to_write(
    terminal: Terminal, space: Kube, tmp_path: Path
) -> None:
    run = terminal.run
    run("raystead render --as raycluster > ray.yaml")
    text = (tmp_path / "ray.yaml").read_text()
    (tmp_path / "typo.yaml").write_text(text.replace("limits:", "limit:", 1))
    (tmp_path / "away.yaml").write_text(text.replace("metadata:\n", "metadata:\n  namespace: nowhere\n", 1))
    for verb in ("render", "doctor", "plan", "up --wait=false"):
        typo = run(f"raystead {verb} -f typo.yaml", 2)
        assert "typo.yaml:" in typo.text
        assert "resources.limit: there is no such field here; did you mean limits?" in typo.text
    (tmp_path / "typo.yaml").write_text(text)
    run("raystead plan -f typo.yaml")
    assert "did you mean 4Gi?" in run("raystead up --worker-memory 4 --wait=false", 2).text
    assert "--workers" in run("raystead up --wrokers 3", 2).text
    away = run("raystead up -f away.yaml --wait=false", 78)
    first = away.text.splitlines()[0]
    assert first.startswith("raystead: there is no namespace nowhere, or you have no role in it (away.yaml:")
    assert "leave that line out and choose one of yours with -n" in away.text
    run("sed -i '/namespace: nowhere/d' away.yaml")
    run(f"raystead plan -f away.yaml -n {space.namespace}")
    run("raystead up --name one --wait=false")
    run("raystead up --name two --wait=false")
    assert run(run("raystead list").hint("raystead status")).text.startswith("one ")
    which = run("raystead status", 2)
    assert run(which.hint("raystead status --name")).text.startswith("one ")


def test_who_may_only_look_gets_the_command_for_the_administrator_and_it_leads_out(
    space: Kube, as_user: AsUser, tmp_path: Path
) -> None:
    viewer = as_user(space, "view")
    with at(viewer, tmp_path) as terminal:
        refused = terminal.run("raystead up --wait=false", 78)
        assert refused.text.startswith(f"raystead: you have `view` in namespace {space.namespace}, ")
        command = refused.hint("kubectl create rolebinding").split()
        space.run(*command[1:])
        terminal.run("raystead up --wait=false")


def test_without_a_terminal_the_answer_is_the_line_with_yes_and_a_suspended_cluster_says_what_is_true(
    terminal: Terminal, space: Kube
) -> None:
    run = terminal.run
    run("raystead up --wait=false")
    until(lambda: len(space.items("pods")) == 4, 30, "all pods are made")
    refused = run("raystead up --worker-memory 2Gi --wait=false < /dev/null", 2)
    assert "raystead: worker: 2 pods restart (memory 1G → 2Gi" in refused.text
    yes = refused.hint("raystead up --worker-memory")
    assert yes == "raystead up --worker-memory 2Gi --wait=false --yes"
    run(f"{yes} < /dev/null")
    restart = run("raystead restart", 1, answers={"[y/N]": "n\n"})
    assert "pods restart. Go on? [y/N]: n" in restart.text
    down = run("raystead down < /dev/null", 2)
    assert "raystead down ray-cluster" in down.text
    suspended = run("raystead suspend", answers={"[y/N]": "y\n"})
    shows(
        run("raystead scale 3"),
        """
        ▸ "ray-cluster" is suspended: worker will have 3 workers when it is resumed
        next: raystead resume
        """,
    )
    assert suspended.hint("raystead resume") == "raystead resume"


def test_pods_that_the_namespace_ends_are_told_before_explained_after_and_then_forgotten(
    place: Callable[[str], Kube], as_user: AsUser, tmp_path: Path
) -> None:
    space = place("university")
    ray = ("pods", "-l", "ray.io/node-type=worker")
    with at(as_user(space, "edit"), tmp_path) as terminal:
        run = terminal.run
        demands = run("raystead doctor", 84)
        labelled = demands.hint("raystead up --label")
        assert labelled == "raystead up --label example.edu/queue=VALUE"
        looked = run(labelled.replace("up", "doctor").replace("VALUE", "lab"))
        assert "pods end after 6 h here" in " ".join(looked.text.split())
        up = looked.hint("raystead up")
        assert up == "raystead up --label example.edu/queue=lab", "what was asked about, not another cluster"
        run(f"{up} --wait=false")
        until(lambda: len(space.items(*ray)) == 2, 30, "the workers are made")
        ended = space.items(*ray)[0]["metadata"]["name"]

        def becomes(**status: Any) -> None:
            """What the kubelet would write, of which there is none here."""
            patch = json.dumps({"status": status})
            space.run("patch", "pod", ended, "--subresource=status", "--type=merge", "-p", patch)

        said = "Pod was active on the node longer than the specified deadline"
        becomes(phase="Failed", reason="DeadlineExceeded", message=said)
        assert "1 pod ended: DeadlineExceeded" in " ".join(run("raystead status").text.split())
        why = run("raystead explain").text
        assert (
            "the pod was ended after 6 h, the longest that it may run (activeDeadlineSeconds: 21600)" in why
        )
        assert "a rule of the cluster's administrator adds it to every new pod" in why
        space.run("delete", "pod", ended, "--force", "--grace-period=0")
        for verb in ("status", "explain"):
            assert "DeadlineExceeded" not in run(f"raystead {verb}").text


def test_what_the_help_shows_that_needs_running_pods_ends_in_a_sentence_and_ctrl_c_leaves_well(
    terminal: Terminal, space: Kube
) -> None:
    """On a cluster whose pods do not run: within seconds, with the reason and a way on."""
    run = terminal.run
    run("raystead up --wait=false")
    until(lambda: len(space.items("pods")) == 4, 30, "all pods are made")
    nobody = run("raystead exec worker -- df -h /dev/shm", 87)
    assert nobody.text.startswith('raystead: no pod of "worker" runs now')
    run(nobody.hint("raystead explain"))
    for line in ("raystead verify --faults head --yes", "raystead verify"):
        broken = run(line, 90)
        assert broken.text.startswith('raystead: "ray-cluster" is not whole now: a fault would prove nothing')
        run(broken.hint("raystead "))  # explain, or status while nothing is wrong yet
    assert 'has no group "gpu"' in run("raystead restart gpu", 2).text
    asked = run("raystead restart head", 130, answers={"[y/N]": "^C"})
    assert "nothing was changed" in asked.text.splitlines(), "on a line of its own"
    logs = run("raystead logs -f", 130, answers={"waiting for the first line": "^C"}, silent=7)
    assert "raystead explain says what its pods wait for" in logs.text
    connected = run("raystead connect", answers={"Ctrl-C closes": "^C"})
    assert connected.text.endswith("closed")
