"""The API server refuses the pods: quota, LimitRange, PodSecurity, webhooks; no pod exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from raystead.base import quantities
from raystead.base.groups import HEAD, REDIS, GroupId
from raystead.base.text import plural
from raystead.base.times import when
from raystead.explain.cause import Cause, Sighting
from raystead.explain.model import Evidence, Finding
from raystead.explain.view import View
from raystead.live.groups import Group
from raystead.live.maker import Refusal
from raystead.live.reading import dig, meta

__all__ = ["CAUSES", "OVER", "explained", "find", "wanted_accounts"]

_SEEN = (
    "The Deployment's condition ReplicaFailure (or, for Redis' StatefulSet, its newest FailedCreate event"
    " while the pod is missing) holds the API server's answer: "
)

QUOTA = Cause(
    "quota-exceeded",
    "The namespace's quota leaves no room",
    "quota `{quota}` refuses {missing}: {numbers}",
    "{made} of {wanted} pods exist; the rest are made as soon as the quota has room",
    '{fewer}send to the administrator: "please raise quota `{quota}` in namespace {namespace} to {raise_to}"',
    _SEEN + "`exceeded quota`. What is used is read from the quota's status now, not from the event.",
)
QUOTA_NEEDS = Cause(
    "quota-needs-requests",
    "The quota requires every container to state what it needs",
    "quota `{quota}` refuses {missing}: {container} must say {what}",
    "with a quota on {what}, a pod is refused if one of its containers does not state it; our own "
    "containers always do",
    "give {container} `resources` with {what} in the file, then {up} -f FILE",
    _SEEN + "`failed quota … must specify`.",
)
SECURITY = Cause(
    "pod-security",
    "PodSecurity refuses the pods",
    "PodSecurity `{level}` refuses {missing}: {rules}",
    "the namespace enforces this level. `raystead up` finds that out and fills in what the file does not "
    "say. What is left is something that the file itself says, its annotation raystead.io/hardening: never, "
    "a level set after the last `up` (run it again), or somebody else's mutating webhook",
    "take it out of the pod template, then {up} -f FILE\n"
    'or send to the administrator: "pods of namespace {namespace} need {rules}, which level {level} '
    'forbids"',
    _SEEN + "`violates PodSecurity`.",
)
LIMIT_RANGE = Cause(
    "limit-range",
    "A LimitRange refuses the size of the pods",
    "a LimitRange refuses {missing}: {rules}",
    "the namespace bounds what one container or pod may ask for",
    "{up} {flag}\n"
    'or send to the administrator: "please raise LimitRange {ranges} in namespace {namespace}: {rules}"',
    _SEEN + "`maximum … usage per Container is`, `minimum …` or a limit/request ratio.",
)
WEBHOOK = Cause(
    "webhook-denied",
    "A policy of the cluster refuses the pods",
    "admission webhook or policy {webhook} refuses {missing}: {said}",
    "the cluster's administrator checks every pod against additional rules",
    "{label}change the pod template so that it complies, then {up} -f FILE\n"
    'or send to the administrator: "{webhook} refuses our pods in namespace {namespace}: {said}"',
    _SEEN + "`admission webhook … denied the request`, or a ValidatingAdmissionPolicy.",
)
WEBHOOK_DOWN = Cause(
    "webhook-down",
    "The cluster's own policy check does not answer",
    "admission webhook {webhook} cannot be reached, so pods are refused: {said}",
    "nothing is wrong with your cluster: until the webhook answers nobody gets pods here",
    'send to the administrator: "admission webhook {webhook} fails: {said}"',
    _SEEN + "`failed calling webhook`.",
)
ACCOUNT = Cause(
    "service-account-missing",
    "The pods' ServiceAccount does not exist",
    "ServiceAccount {account} does not exist in namespace {namespace}",
    "pods run as a ServiceAccount; without it none is created",
    "kubectl create serviceaccount {account}\nor {up} --service-account NAME      with one that exists",
    _SEEN + "`serviceaccount … not found`.",
)
PRIORITY = Cause(
    "priority-class-missing",
    "The pods name a priority class that does not exist",
    "PriorityClass {priority} does not exist in this cluster",
    "priority classes belong to the whole cluster; the API server creates no pod that names a missing one",
    "correct or remove priorityClassName {priority} in the file, then {up} -f FILE\n"
    'or send to the administrator: "pods of namespace {namespace} name PriorityClass {priority}, which is '
    'not there: which one may they use?"',
    _SEEN + "`no PriorityClass with name … was found`.",
)
RUNTIME = Cause(
    "runtime-class-missing",
    "The pods name a runtime class that does not exist",
    "RuntimeClass {runtime} does not exist in this cluster",
    "runtime classes belong to the whole cluster; the API server creates no pod that names a missing one",
    "correct or remove runtimeClassName {runtime} in the file, then {up} -f FILE\n"
    'or send to the administrator: "pods of namespace {namespace} name RuntimeClass {runtime}, which is '
    'not there: do GPU nodes need one here?"',
    _SEEN + "`pod rejected: RuntimeClass … not found`.",
)
OVER = Cause(
    "refusal-over",
    "What refused the pods does not any more",
    "{missing} refused, and what refused them has changed: {now}",
    "the controller that makes the pods tries again by itself, ever more slowly after each refusal{when}",
    "{up}      lets it try at once",
    _SEEN + "`exceeded quota` or `serviceaccount … not found`, while the quota's own status has room for a "
    "pod now, or the ServiceAccount is there. Pauses double from 5 ms up to 1000 s "
    "(client-go's rate limiter), so the next one is about as long as all before it together.",
)
TERMINATING = Cause(
    "namespace-terminating",
    "The namespace is being deleted",
    "namespace {namespace} is being deleted",
    "nothing new is accepted in it, and all it holds goes",
    "use another namespace: {up} -n NAMESPACE",
    "The Namespace has a deletionTimestamp, or the API server says `because it is being terminated`.",
)
REFUSED = Cause(
    "pods-refused",
    "The API server refuses the pods",
    "{missing} refused: {said}",
    "the API server's sentence says why; its controllers try again by themselves, ever more slowly",
    "{fix}",
    _SEEN + "a text that no other page explains.",
    confidence="likely",
)
CAUSES = (
    TERMINATING,
    OVER,
    QUOTA,
    QUOTA_NEEDS,
    SECURITY,
    LIMIT_RANGE,
    WEBHOOK,
    WEBHOOK_DOWN,
    ACCOUNT,
    PRIORITY,
    RUNTIME,
    REFUSED,
)

_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (.+), used: (.+), limited: ([^\s].*?)$")
_NEEDS = re.compile(r"failed quota: ([^:]+): must specify (.+)$")
_SECURITY = re.compile(r'violates PodSecurity "([^":]+)(?::[^"]*)?": (.+)$', re.DOTALL)
_RANGE = re.compile(r"(?:maximum|minimum) \S+ usage per (?:Container|Pod)|max limit to request ratio per")
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request(?:: (.*))?', re.DOTALL)
_POLICY = re.compile(r"ValidatingAdmissionPolicy '([^']+)'.*? denied request(?:: (.*))?", re.DOTALL)
_WEBHOOK_DOWN = re.compile(r'failed calling webhook "([^"]+)": (.*)', re.DOTALL)
_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')
_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found")
_RUNTIME = re.compile(r'RuntimeClass "([^"]+)" not found')
# what only the class may give: "the integer value of priority (5) must not be provided in pod spec; …"
_COMPUTED = re.compile(r"value of (priority|PreemptionPolicy) \(\S+?\) must not be provided in pod spec")
_INVALID = re.compile(r"is invalid: \[?(spec\.[^:\s]+)")
_PLACED = re.compile(r"(?:^|; )[^;]*?:(\d+):\d+: (?:spec|metadata)[.\[]")  # with its place in the file
_STEP = 64 << 20  # bytes
_LEAST = {"cpu": Decimal("0.1"), "memory": Decimal(512 << 20)}  # a Ray node with less does not live
_LONGEST_PAUSE = 1000.0  # seconds, of client-go's default rate limiter for controllers
# How policies name a label that they miss: Gatekeeper's set, Kyverno's path, a name after the word.
_LABEL_SET = re.compile(r"\blabels?: ?\{([^}]+)\}")
_LABEL_PATH = re.compile(r"metadata[/.]labels[/.]([A-Za-z0-9][\w./-]*\w)")
_LABEL_NAMED = re.compile(
    r"\blabels? (?:[`'\"](?P<quoted>[\w./-]+)[`'\"]|(?P<long>\w[\w.-]*/[\w.-]*\w)"
    r"|(?!(?:that|which|it|value|key) )(?P<short>\w[\w.-]*)(?= is (?:required|missing|mandatory|needed)))"
)
_GONE = "because it is being terminated"


def find(view: View) -> Iterator[Finding]:
    if gone := _namespace_gone(view):
        yield gone
        return
    for group, refusal in view.refusals():
        yield _finding(view, group, refusal)


def explained(view: View, group: Group, refusal: Refusal) -> tuple[Finding, ...]:
    """What one refusal means."""
    return (view.with_file(_namespace_gone(view) or _finding(view, group, refusal)),)


def _namespace_gone(view: View) -> Finding | None:
    namespace = view.snapshot.namespace_object
    deleted = when(meta(namespace, "deletionTimestamp")) if namespace else None
    if deleted is None:
        return None
    evidence = [Evidence("deletionTimestamp is set", f"namespace/{view.snapshot.namespace}", deleted)]
    return _terminating(view, evidence, deleted)


def _finding(view: View, group: Group, r: Refusal) -> Finding:
    text, missing = r.message, plural(r.missing, "pod")
    values = {"up": view.up, "namespace": view.snapshot.namespace, "missing": missing}
    evidence = Evidence(text, r.source, r.at, r.count)
    if _GONE in text:
        return _terminating(view, [evidence], r.since)
    cause, words = _cause(view, group, r)
    return cause.found(Sighting(group.id, r.subject, [evidence], r.since, pods=r.missing), **values, **words)


def _cause(view: View, group: Group, r: Refusal) -> tuple[Cause, dict[str, str]]:
    text = r.message
    if now := _over(view, text):
        return OVER, {"now": now, "when": _next_try(view, r)}
    if match := _QUOTA.search(text):
        return QUOTA, _quota(view, group, r, *match.groups())
    if match := _NEEDS.search(text):
        return QUOTA_NEEDS, _needs(*match.groups())
    if match := _SECURITY.search(text):
        return SECURITY, {"level": match.group(1), "rules": _shown(match.group(2))}
    if _RANGE.search(text):
        ranges = ", ".join(meta(x, "name") for x in view.snapshot.limitranges or ()) or "of the namespace"
        words = {"rules": _range_rules(text), "flag": _size_flag(group.id, text), "ranges": ranges}
        return LIMIT_RANGE, words
    if match := _ACCOUNT.search(text):
        return ACCOUNT, {"account": match.group(1)}
    if match := _PRIORITY.search(text):
        return PRIORITY, {"priority": match.group(1)}
    if match := _RUNTIME.search(text):
        return RUNTIME, {"runtime": match.group(1)}
    for cause, form in ((WEBHOOK, _WEBHOOK), (WEBHOOK, _POLICY), (WEBHOOK_DOWN, _WEBHOOK_DOWN)):
        if match := form.search(text):
            reason = match.group(2) or "no reason given"
            label = _label_flags(view, reason) if cause is WEBHOOK else ""
            return cause, {"webhook": match.group(1), "said": _shown(reason), "label": label}
    return REFUSED, {"said": _shown(text), "fix": _mended(view, text)}


def _label_flags(view: View, reason: str) -> str:
    """The line that gives the labels which a policy misses, and "or"; "" where it is not about labels."""
    if match := _LABEL_SET.search(reason):
        keys = re.findall(r"[\w./-]+", match.group(1))
    elif match := _LABEL_PATH.search(reason) or _LABEL_NAMED.search(reason):
        keys = [next(filter(None, match.groups()))]
    else:
        return ""
    return f"{view.up}{''.join(f' --label {key}=VALUE' for key in keys)}\nor "


def _mended(view: View, text: str) -> str:
    """What to do about a refusal that has no page: a mistake in the file is for its author to fix."""
    if match := _COMPUTED.search(text):
        what = match.group(1)[0].lower() + match.group(1)[1:]
        return f"remove {what} in the file, which priorityClassName decides, then {view.up} -f FILE"
    if match := _PLACED.search(text):
        more = " and the others" if len(_PLACED.findall(text)) > 1 else ""
        return f"correct line {match.group(1)} of the file{more}, then {view.up} -f FILE"
    if match := _INVALID.search(text):
        return f"correct {match.group(1)} in the file, then {view.up} -f FILE"
    where = view.snapshot.namespace
    return f'fix it, or send to the administrator: "pods of namespace {where} are refused: {_shown(text)}"'


def _over(view: View, text: str) -> str:
    """What is so now where the reason for a refusal is gone; "" while it still holds or cannot be told."""
    if match := _ACCOUNT.search(text):
        account = match.group(1).rpartition("/")[2]
        return f"ServiceAccount {account} exists now" if account in (view.snapshot.accounts or ()) else ""
    match = _QUOTA.search(text)
    status = _status(view, match.group(1)) if match else None
    if match is None or status is None:
        return ""
    asks, (hard, used) = _pairs(match.group(2)), status
    rooms = []
    for resource, ask in asks.items():
        if resource not in hard:
            continue  # the quota does not count it any more
        left = quantities.parse(hard[resource]) - quantities.parse(used.get(resource, "0"))
        if quantities.parse(ask) > left:
            return ""
        rooms.append(f"{used.get(resource, '0')} of {hard[resource]} of {resource} are used")
    return f"quota `{match.group(1)}` has room now ({'; '.join(rooms)})"


def _status(view: View, quota: str) -> tuple[dict[str, str], dict[str, str]] | None:
    """What a quota allows and what is used of it, as it is now; None where that was not read."""
    if view.snapshot.quotas is None:
        return None
    found = next((q for q in view.snapshot.quotas if meta(q, "name") == quota), None)
    hard = dig(found, "status", "hard")
    return None if hard is None else (hard, dig(found, "status", "used") or {})


def _next_try(view: View, r: Refusal) -> str:
    """`: in about 40 s`, where the refusals' times tell it."""
    if r.at is None or r.since is None or r.at <= r.since:
        return ""
    pause = min((r.at - r.since).total_seconds(), _LONGEST_PAUSE)
    seconds = round(pause - view.age(r.at))
    return f": in about {seconds} s" if seconds > 1 else ": at any moment"


def wanted_accounts(view: View) -> tuple[str, ...]:
    """ServiceAccounts that refusals miss: whether they are there by now decides."""
    found = (_ACCOUNT.search(refusal.message) for _, refusal in view.refusals())
    return tuple(dict.fromkeys(match.group(1).rpartition("/")[2] for match in found if match))


def _needs(quota: str, told: str) -> dict[str, str]:
    pairs = [part.split(" for: ") for part in told.split("; ")]
    names = dict.fromkeys(c for pair in pairs for c in pair[1:])
    return {
        "quota": quota,
        "what": " and ".join(pair[0] for pair in pairs),
        "container": f"container {', '.join(names)}" if names else "a container",
    }


def _terminating(view: View, evidence: list[Evidence], since: datetime | None) -> Finding:
    namespace = view.snapshot.namespace
    return TERMINATING.found(
        Sighting(None, f"namespace/{namespace}", evidence, since), up=view.up, namespace=namespace
    )


def _quota(
    view: View, group: Group, r: Refusal, quota: str, requested: str, used: str, limited: str
) -> dict[str, str]:
    """The quota's numbers as they are now, per resource, and what would be enough for all missing pods."""
    asks, uses, limits = (_pairs(part) for part in (requested, used, limited))
    if (now := _status(view, quota)) is not None:  # an event may be minutes old
        limits, uses = {**limits, **now[0]}, {**uses, **now[1]}
    numbers, enough = [], []
    for resource, ask in asks.items():
        use, limit = uses.get(resource, "0"), limits.get(resource, "0")
        numbers.append(f"a pod needs {ask} of {resource}, {use} of {limit} are used")
        total = quantities.parse(use) + r.missing * quantities.parse(ask)
        enough.append(f"{resource}={_quantity(resource, total, ask)}")
    fewer = ""
    if group.id.is_worker and r.made:
        fewer = f"{view.up} --workers {r.made}\nor "
    elif group.id != REDIS and (flags := _fitting(group.id, r.missing, asks, uses, limits)):
        fewer = f"{view.up} {flags}\nor "
    return {
        "quota": quota,
        "numbers": "; ".join(numbers),
        "made": str(r.made),
        "wanted": str(r.wanted),
        "fewer": fewer,
        "raise_to": ", ".join(enough),
    }


def _fitting(
    group: GroupId, pods: int, asks: dict[str, str], uses: dict[str, str], limits: dict[str, str]
) -> str:
    """The flags for a size of which all missing pods would fit; "" where no sensible one does."""
    flags: dict[str, Decimal] = {}
    for resource, ask in asks.items():
        room = quantities.parse(limits.get(resource, "0")) - quantities.parse(uses.get(resource, "0"))
        each = room / max(pods, 1)
        if each >= quantities.parse(ask):
            continue
        name = resource.rpartition(".")[2]
        if name not in _LEAST or each < _LEAST[name]:
            return ""
        flags[name] = min(each, flags.get(name, each))
    side = "head" if group == HEAD else "worker"
    sizes = {name: _rounded_down(name, each) for name, each in flags.items()}
    return " ".join(f"--{side}-{name} {size}" for name, size in sizes.items())


def _rounded_down(name: str, value: Decimal) -> str:
    """Full tenths of a core, full 64 MiB."""
    if name == "cpu":
        return quantities.millis(value // Decimal("0.1") / 10)
    return quantities.binary(int(value) // _STEP * _STEP)


def _quantity(resource: str, total: object, like: str) -> str:
    value = Decimal(str(total))
    if resource.endswith("cpu"):
        return quantities.millis(value)
    if like.endswith("i"):
        return quantities.binary(int(value))
    for suffix, unit in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value and value % unit == 0:
            return f"{int(value) // unit}{suffix}"
    return str(int(value))


def _pairs(text: str) -> dict[str, str]:
    """`requests.cpu=500m,pods=1` as a mapping."""
    return {k: v for k, _, v in (part.strip().partition("=") for part in text.split(",")) if v}


def _size_flag(group: GroupId, text: str) -> str:
    """The flags for a size that is let in; where the bound is not of one container, which size to change."""
    side = "head" if group == HEAD else "worker"
    if bounds := re.findall(r"(?:maximum|minimum) (cpu|memory) usage per Container is ([^,]+), but", text):
        return " ".join(f"--{side}-{name} {size}" for name, size in dict(bounds).items())
    resource = "memory" if "memory" in text and "cpu" not in text else "cpu"
    more = text.strip().startswith("minimum") or "minimum " in text
    return f"--{side}-{resource} {'MORE' if more else 'LESS'}"


def _range_rules(text: str) -> str:
    message = re.sub(r"^.*? is forbidden: ", "", text.strip(), flags=re.DOTALL).strip("[]")
    return _shown(message)


def _shown(text: str, most: int = 300) -> str:
    text = re.sub(r"\s+", " ", text.strip())
    return text if len(text) <= most else text[: most - 1] + "…"
