"""A whole life of a cluster in the library's words; a test type-checks it strictly, another one may run it."""

import threading
from pathlib import Path

import raystead
from raystead import errors, events, views


def told(event: events.Event) -> None:
    if isinstance(event, events.Progress):
        print(event.seconds, [(group.name, group.ready, group.wanted) for group in event.groups])
    elif isinstance(event, events.Explained):
        print([finding.cause for finding in event.findings])


def life(namespace: str, working_dir: Path) -> str:
    examined: views.Examined = raystead.Cluster.doctor(namespace=namespace, workers=2)
    print(examined.count("fail"), [check.what for check in examined.checks])
    plan: views.Plan = raystead.Cluster.plan(namespace=namespace, workers=2, env=["A=b"])
    for change in plan.mutating:
        print(change.action, change.kind, change.name, change.restarts, change.loses)
    rendered: views.Rendered = raystead.Cluster.render(workers=2)
    print(len(rendered.objects))
    flags: raystead.SpecFlags = {"workers": 2, "worker_cpu": "1", "label": ("team=nlp",)}
    cluster = raystead.Cluster.up(namespace=namespace, wait=False, on_event=told, **flags)
    try:
        done: events.Done = cluster.wait(timeout=600, on_event=told)
        print(done.nodes, done.cpus)
    except errors.NotReady as error:
        print([(cause.cause, cause.remedy) for cause in error.findings], error.exit_code)
        explained: views.Explanation = cluster.explain()
        print([finding.why for finding in explained.findings])
        raise
    rows: list[views.ListRow] = raystead.Cluster.list(namespace=namespace, labels={"team": "nlp"})
    assert [row.name for row in rows] == [cluster.name]
    print(cluster.ray_address, cluster.dashboard_url, cluster.token() is None)
    view: views.ClusterView = cluster.scale(worker=3, timeout=600)
    print(view.state, [(group.name, group.alive) for group in view.groups])
    job: views.Job = cluster.submit(
        "python train.py",
        working_dir=working_dir,
        env={"EPOCHS": "3"},
        submission_id="train-1",
        num_cpus=0.5,
        wait=False,
    )
    handle: raystead.JobHandle = cluster.job(job.id)
    print(handle.wait(output=print).status, handle.logs(), handle.cancel(), len(cluster.jobs()))
    for pod, line in cluster.logs("worker", since=60):
        print(pod, line)
    result: views.Result = cluster.exec("ray", "status")
    print(result.code, result.out.decode())
    with cluster.connect(client=True) as connection:
        print(connection.dashboard, connection.client)
    outcomes: list[views.FaultOutcome] = cluster.verify("head")
    print([outcome.lost for outcome in outcomes])
    cluster.restart("worker")
    cluster.suspend()
    cluster.resume()
    print(cluster.status().state, cluster.spec().name)
    gone: views.Downed = cluster.down()
    return ", ".join(gone.remains)


def every_night(namespace: str, file: Path) -> int:
    nightly = raystead.Cluster.up(file, namespace=namespace, checks=False)
    for tick in nightly.ticks():
        known: views.Tick = tick
        state: views.JobState = known.state
        print(known.id, known.at.isoformat(), known.word, known.why, state.exit_code)
    handle: raystead.TickHandle = nightly.tick()
    ended: views.Tick = handle.wait(output=print)
    print(handle.logs(), handle.status().word, handle.cancel())
    return ended.state.exit_code or 0


def scaler(namespace: str, stop: threading.Event) -> None:
    cluster = raystead.Cluster.up(namespace=namespace, autoscale=True, least=0, most=4)
    cluster.autoscale(stop=stop, on_event=told)
    cluster.scale({"worker": (1, 4)}, checks=False)
    print(sorted(raystead.Cluster.schema()))


def one_job(namespace: str) -> None:
    with raystead.Cluster.run(namespace=namespace, ttl="10m", workers=1) as cluster:
        cluster.submit("python", "-c", "print(1)")
    try:
        raystead.Cluster.up("not a spec", namespace=namespace)
    except errors.SpecError as error:
        print([(problem.line, problem.path, problem.what) for problem in error.problems])
    except errors.Forbidden as error:
        print(error.verb, error.resource, error.namespace)
