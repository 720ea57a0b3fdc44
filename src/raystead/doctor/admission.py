"""What the server's own checks say of the pods (dry-run): in the words that explain would use later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from raystead.base.times import span
from raystead.doctor.model import Check, Observations, Pods, unmade
from raystead.explain import admission
from raystead.explain.model import Finding, Snapshot
from raystead.explain.view import View
from raystead.live.groups import Group
from raystead.live.maker import Refusal, Wanted
from raystead.live.pods import DEADLINE

__all__ = ["check", "later"]

_LEVEL = "pod-security.kubernetes.io/enforce"
# the numbers of these are worked out for all pods together, better than one pod's answer can say
_COUNTED = {admission.QUOTA.slug, admission.QUOTA_NEEDS.slug}
_WHEN = datetime.fromtimestamp(0, UTC)


def check(seen: Observations) -> Iterator[Check]:
    refused = limited = False
    for pods in seen.groups:
        answer = seen.admission.get(pods.group)
        if isinstance(answer, str) and pods.wanted:
            for finding in _explained(seen, pods, answer):
                if finding.cause == admission.LIMIT_RANGE.slug and seen.limitranges:
                    limited = True  # `limits` has said it
                    continue
                if finding.cause in _COUNTED:
                    continue
                refused = True
                yield _check(seen, pods, finding)
    yield from _deadlines(seen)
    unasked = [pods for pods in seen.groups if pods.group not in seen.admission]
    if unasked:
        names = ", ".join(str(pods.group) for pods in unasked)
        why = seen.unread.get("admission", "")
        what = f"whether the server accepts the pods of {names} is not known"
        yield Check("admission", "unknown", what, why, "raystead plan, then raystead explain")
    elif limited:
        what = "PodSecurity and other rules could not be asked: a LimitRange refuses the pods before them"
        yield Check("admission", "unknown", what, "", "fix the sizes and run raystead doctor again")
    elif not refused:
        yield _passed(seen)


def later(seen: Observations) -> Iterator[Check]:
    """Groups that have no pods yet, and whose pods the server would refuse once they are to have some."""
    for pods in seen.groups:
        answer = seen.admission.get(pods.group)
        if isinstance(answer, str) and not pods.wanted:
            for finding in _explained(seen, pods, answer):
                if finding.cause not in _COUNTED:
                    yield unmade(_check(seen, pods, finding), pods)


def _deadlines(seen: Observations) -> Iterator[Check]:
    """Pods to which the namespace adds an end that their template does not have."""
    ended: dict[int, list[str]] = {}
    for pods in seen.groups:
        answer = seen.admission.get(pods.group)
        seconds = answer["spec"].get(DEADLINE) if isinstance(answer, dict) else None
        if seconds is not None and DEADLINE not in (pods.maker.template.get("spec") or {}):
            ended.setdefault(int(seconds), []).append(str(pods.group))
    for seconds, groups in ended.items():
        what = f"pods end after {span(seconds)} here ({', '.join(groups)}): what runs in them then is lost"
        evidence = f"the dry-run of a pod came back with {DEADLINE}: {seconds}"
        send = f'send to the administrator: "pods of namespace {seen.facts.namespace} are ended after '
        yield Check("admission", "warn", what, evidence, f'{send}{span(seconds)}: may ours run longer?"')


def _explained(seen: Observations, pods: Pods, message: str) -> tuple[Finding, ...]:
    """Explain's rules, on the refusal as it would be."""
    snapshot = Snapshot(
        cluster=seen.cluster,
        namespace=seen.facts.namespace or "",
        name=seen.name,
        now=_WHEN,
        limitranges=seen.limitranges,
        quotas=seen.quotas,
        namespace_object=seen.namespace,
        up=seen.up,
    )
    view, count = View(snapshot), max(1, pods.wanted)
    refusal = Refusal(pods.maker.subject, 0, count, message, pods.maker.subject)
    return admission.explained(view, Group(pods.group, Wanted.fixed(count), pods.maker), refusal)


def _check(seen: Observations, pods: Pods, finding: Finding) -> Check:
    name = "pod security" if finding.cause == admission.SECURITY.slug else "admission"
    evidence = finding.evidence[0].text if finding.evidence else ""
    what = f"{pods.group}: {finding.why}" if str(pods.group) not in finding.why else finding.why
    return Check(name, "fail", what, f"dry-run of a pod: {evidence}", finding.remedy)


def _passed(seen: Observations) -> Check:
    found = ((seen.namespace or {}).get("metadata") or {}).get("labels") or {}
    if level := found.get(_LEVEL):
        return Check("pod security", "ok", f"{level}: passes", "dry-run of a pod of each group")
    text = "the server accepts a pod of each group"
    return Check("admission", "ok", text, "dry-run of a pod of each group")
