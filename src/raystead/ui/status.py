"""How a cluster on Kubernetes looks: `status` and `list` as text, within the terminal's width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from raystead.base.quantities import short_bytes
from raystead.base.times import ago, span

if TYPE_CHECKING:
    from raystead.live.autoscaler import AutoscalerReport, Obstacle
    from raystead.live.idle import IdleState
    from raystead.live.raycron import CronState
    from raystead.live.rayjob import JobState
    from raystead.plan.groupview import GroupView, NodeView
    from raystead.plan.headloss import HeadLoss
    from raystead.plan.listing import ListRow
    from raystead.plan.observed import ClusterView

__all__ = ["idle_parts", "list_text", "next_command", "rows_json", "status_text"]

UNKNOWN = "?"
_GAP = "  "
_IDLE = 3  # idle workers that are named
_NOTE_MIN = 24  # narrower than this a note is unreadable next to the table and goes below it


def status_text(view: ClusterView, *, now: datetime, width: int | None = None, wide: bool = False) -> str:
    """The whole state. `width` in columns, None where nothing has to fit; `wide` adds a line per pod."""
    lines = _joined(_heading(view, now), width)
    if view.job:
        lines += _joined(_job(view.job, now), width)
    if view.idle:
        lines += _joined(idle_parts(view.idle, now), width)
    if view.cron:
        lines += _joined(_schedule(view.cron, now), width)
        lines += _ticks(view.cron, now, width)
    lines += _groups(view.groups, width) if view.groups else []
    if view.autoscaler:
        for text in _autoscaler(view.autoscaler, view.stuck):
            lines += _wrapped(text, width)
    if wide and view.nodes:
        lines += ["", *_nodes(view.nodes, width)]
    if view.last_head_loss:
        lines += _wrapped(_loss(view.last_head_loss, now), width)
    for text in view.drift:
        lines += _wrapped(f"drift: {text}", width)
    for note in view.notes:
        lines += _wrapped(note, width)
    return "\n".join(lines)


def _autoscaler(report: AutoscalerReport, stuck: Sequence[Obstacle]) -> list[str]:
    """What Ray's autoscaler says, a line for each thing there is; one in any case."""
    out = []
    if report.demands or report.requested:
        out.append(f"demand: {'; '.join(map(str, (*report.demands, *report.requested)))}")
    for one in stuck:
        if one.kind == "infeasible":
            out.append(f"does not grow: no group's worker has {one.needed}")
        else:
            groups = ", ".join(f"{name} is at its maximum, {count}" for name, count in one.groups)
            out.append(f"does not grow: {groups}")
    out = list(dict.fromkeys(out))
    if report.pending:
        out.append(f"pending: {'; '.join(report.pending)}")
    if report.idle_seconds:
        idle = sorted(report.idle_seconds.items(), key=lambda item: -item[1])
        more = f" and {len(idle) - _IDLE} more" if len(idle) > _IDLE else ""
        out.append(f"idle: {', '.join(f'{pod} for {span(seconds)}' for pod, seconds in idle[:_IDLE])}{more}")
    if report.failures:
        out.append(f"failures: {'; '.join(report.failures)}")
    return [f"autoscaler: {text}" for text in out or ["no demand"]]


def _job(job: JobState, now: datetime) -> list[str]:
    """A RayJob's line: its submission, how far it is, and why."""
    parts = [f"job {job.id}".strip(), f"{job.deployment_status} {job.job_status}".strip()]
    if job.over and job.started and job.ended:
        parts.append(f"took {span((job.ended - job.started).total_seconds())}")
    elif job.started:
        parts.append(f"since {span((now - job.started).total_seconds())}")
    if job.failed > 1 or (job.failed and not job.over):
        parts.append(f"{job.failed} attempts failed")
    if job.reason or job.message:
        parts.append(": ".join(part for part in (job.reason, job.message) if part))
    return parts


def idle_parts(idle: IdleState, now: datetime) -> list[str]:
    """Since when nothing runs, when the cluster ends, and what stays."""
    stays = "spec and data stay" if idle.end.keeps_data else "nothing stays"
    if idle.since is None or idle.ends_at is None:
        after = f"ends after {span(idle.end.seconds)} without work ({stays})"
        return [f"not idle: {idle.why}" if idle.why.startswith("busy") else f"idle: {idle.why}", after]
    left = (idle.ends_at - now).total_seconds()
    ends = f"ends in {span(left)}" if left > 0 else "ends now"
    return [f"idle since {span((now - idle.since).total_seconds())}", f"{ends} ({stays})"]


def _schedule(cron: CronState, now: datetime) -> list[str]:
    """A RayCronJob's line: its schedule, the last tick and the next one."""
    parts = [f"schedule {cron.schedule or UNKNOWN} ({cron.zone})"]
    parts.append(f"last {ago(cron.last, now)}" if cron.last else "no tick yet")
    if cron.next:
        parts.append(f"next in {span((cron.next - now).total_seconds())}")
    if len(cron.running) > 1:
        parts.append(f"{len(cron.running)} ticks run at once")
    return parts


def _ticks(cron: CronState, now: datetime, width: int | None) -> list[str]:
    """A line for each tick whose Job is still there, the newest first."""
    if not cron.ticks:
        return []
    cells, notes = [], []
    for tick in cron.ticks:
        state = tick.state
        end = state.ended if state.over else now
        took = span((end - state.started).total_seconds()) if state.started and end else "-"
        cells.append([tick.id, f"{tick.at:%Y-%m-%d %H:%M}", tick.word, took])
        notes.append(tick.why)
    return _with_notes(_columns(["TICK", "DUE (UTC)", "STATE", "TOOK"], cells, set()), notes, width)


def next_command(view: ClusterView, *, named: bool = True) -> str:
    """What is most useful after this status; the only cluster of a namespace need not be `named`."""
    name = f" --name {view.name}" if named else ""
    if view.job and view.job.pod and view.state != "not ready":
        return f"kubectl logs --namespace {view.namespace} job/{view.name}"
    if view.cron and view.cron.ticks:
        return f"raystead job logs{name}"
    if view.state == "suspended":
        return f"raystead resume{name}"
    if view.state == "ended":
        return f"raystead up --name {view.name}"
    if view.state == "scheduled":
        return f"raystead plan --name {view.name}"
    if view.state != "Ready":
        return f"raystead explain{name}"
    job = "python -c 'import ray; ray.init(); print(ray.cluster_resources())'"
    return f"raystead plan --name {view.name}" if view.drift else f"raystead submit{name} -- {job}"


def list_text(rows: Sequence[ListRow], *, namespaces: bool = False) -> str:
    """One line per cluster; with `namespaces` one more column."""
    head = ["NAMESPACE"] if namespaces else []
    head += ["NAME", "STATE", "WORKERS", "CPU", "RAY", "AGE"]
    cells = [
        [
            *([row.namespace] if namespaces else []),
            row.name,
            row.state,
            UNKNOWN if row.problem else f"{row.ready}/{row.wanted}",
            UNKNOWN if row.problem else str(row.cpu),
            row.ray_version or UNKNOWN,
            UNKNOWN if row.problem else span(row.age),
        ]
        for row in rows
    ]
    return "\n".join(_columns(head, cells, {"CPU"}))


def rows_json(rows: Sequence[ListRow]) -> list[dict[str, str | int | float]]:
    """`list -o json`: an object per cluster, the age in seconds."""
    return [
        {
            "namespace": row.namespace,
            "name": row.name,
            "state": row.state,
            "readyWorkers": row.ready,
            "wantedWorkers": row.wanted,
            "cpu": row.cpu,
            "rayVersion": row.ray_version,
            "ageSeconds": round(row.age, 3),
            **({"problem": row.problem} if row.problem else {}),
        }
        for row in rows
    ]


def _heading(view: ClusterView, now: datetime) -> list[str]:
    since = f" since {span((now - view.since).total_seconds())}" if view.since else ""
    policies = UNKNOWN if view.policies is None else _on(view.policies)
    return [
        view.name,
        f"{view.state}{since}",
        f"Ray {view.ray_version or UNKNOWN}",
        f"state: {view.storage}",
        f"token: {_on(view.token)}" + (f" ({view.no_token})" if view.no_token and not view.token else ""),
        f"policies: {policies}",
        *([] if view.since else [f"age {span(view.age)}"]),
    ]


def _groups(groups: Sequence[GroupView], width: int | None) -> list[str]:
    gpus = any(group.gpu_total for group in groups)
    head = ["GROUP", "WANT", "RUN", "ALIVE", "CPU used/all", *(["GPU"] if gpus else []), "MEM"]
    cells = [
        [
            group.name,
            str(group.wanted),
            str(group.running),
            UNKNOWN if group.alive is None else str(group.alive),
            _pair(group.cpu_used, group.cpu_total),
            *([_pair(group.gpu_used, group.gpu_total)] if gpus else []),
            _memory(group.memory_used, group.memory_total),
        ]
        for group in groups
    ]
    return _with_notes(_columns(head, cells, {"WANT", "RUN", "ALIVE"}), [g.note for g in groups], width)


def _nodes(nodes: Sequence[NodeView], width: int | None) -> list[str]:
    head = ["POD", "GROUP", "NODE", "PHASE", "READY", "ALIVE", "CPU", "MEM", "RESTARTS"]
    cells = [
        [
            node.pod,
            node.group,
            node.host or "-",
            node.phase,
            _yes(node.ready),
            UNKNOWN if node.alive is None else _yes(node.alive),
            _pair(node.cpu_used, node.cpu_total) if node.alive else "-",
            _memory(node.mem_used, node.mem_total) if node.alive else "-",
            str(node.restarts),
        ]
        for node in nodes
    ]
    return _with_notes(_columns(head, cells, {"RESTARTS"}), [n.note for n in nodes], width)


def _with_notes(lines: list[str], notes: Sequence[str], width: int | None) -> list[str]:
    """The last column: next to the table where there is room, wrapped in its column; else below each line."""
    if not any(notes):
        return [line.rstrip() for line in lines]
    column = max(map(len, lines)) + len(_GAP)
    beside = width is None or width - column >= _NOTE_MIN
    out = [f"{lines[0].ljust(column)}NOTE" if beside else lines[0].rstrip()]
    for line, note in zip(lines[1:], notes, strict=True):
        if not note:
            out.append(line.rstrip())
        elif beside:
            first, *rest = _wrapped(note, None if width is None else width - column, hang="")
            out += [line.ljust(column) + first, *(" " * column + more for more in rest)]
        else:
            out += [line.rstrip(), *(f"  {part}" for part in _wrapped(note, (width or 0) - 2, hang=""))]
    return out


def _loss(loss: HeadLoss, now: datetime) -> str:
    back = "not back yet" if loss.back_after is None else f"back in {span(loss.back_after)}"
    number = loss.workers_restarted
    workers = "no worker restarted" if not number else f"{number} worker{'s' if number > 1 else ''} restarted"
    return f"last head loss: {ago(loss.at, now)}, {loss.cause}; {back}, {workers}"


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]], right: set[str]) -> list[str]:
    """Lines of equal columns; those named in `right` are numbers and end at the same place."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    pads = [str.rjust if name in right else str.ljust for name in head]
    return [
        _GAP.join(pad(cell, w) for pad, cell, w in zip(pads, line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _joined(parts: Sequence[str], width: int | None) -> list[str]:
    """Parts three blanks apart, broken between parts where the line is full."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}   {part}"
        if width is None or len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(f"  {part}")
    return lines


def _wrapped(text: str, width: int | None, hang: str = "  ") -> list[str]:
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, max(width, 10), subsequent_indent=hang, break_on_hyphens=False)


def _pair(used: float | None, total: float | None) -> str:
    """used/all; what Ray did not tell is `?`."""
    if total is None:
        return UNKNOWN
    if not total:
        return "0/0"
    return f"{UNKNOWN if used is None else f'{used:.1f}'}/{total:g}"


def _memory(used: float | None, total: float | None) -> str:
    if used is None or total is None:
        return UNKNOWN
    if not total:
        return "-"
    number, unit = short_bytes(total).split()
    return f"{short_bytes(used, unit)}/{number} {unit}"


def _on(value: bool) -> str:
    return "on" if value else "off"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
