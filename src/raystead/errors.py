"""Every error of raystead, with its exit code, in one table.

RaysteadError
├── UsageError (2)            the command line cannot be meant
├── SpecError (2)             a spec file or the flags have problems, all listed
├── ClusterNotFound (64)      no cluster of that name
├── ClusterExists (65)        a cluster of that name is there already
├── NotEnough (66)            memory or CPU of this machine do not suffice
├── RayMissing (67)           no Ray installation, or one that cannot be used
├── NotReady (68)             the cluster did not become ready in time
├── PortInUse (69)            a port that was asked for is taken
├── JobFailed (70)            the job failed and its driver left no exit code
├── JobNotFound (71)          no job of that id
├── UploadTooLarge (72)       the working directory is over Ray's upload limit
├── RayUnreachable (73)       Ray's job API does not answer
├── StateError (74)           our own state on disk cannot be read or written (disk full, damaged, locked)
├── Unsupported (75)          the spec needs something that this version does not do
├── KubeConfigError (76)      no kubeconfig, no such context, or its login plugin failed
├── ApiError (80)             the API server refuses a request: quota, admission, invalid, terminating
│   ├── ApiUnreachable (77)   the API server does not answer, or stopped answering for too long
│   ├── Forbidden (78)        the API server does not allow it to this user
│   ├── Conflict (79)         an object or a field belongs to somebody else
│   └── ObjectNotFound (87)   an object that a command needs is not there
├── NewerFormat (81)          the anchor was written by a newer raystead
├── Busy (82)                 another raystead changes the same cluster now
├── Remains (83)              down could not remove everything
├── ProblemsFound (84)        doctor or verify found problems
├── StreamLost (85)          a stream of the API server broke and could not be resumed
├── CommandNotStarted (86)    exec could not start the command
├── RayRefuses (88)           Ray refuses a request: its token, or what it asks
├── OutputGone (89)           the worker that had a job's output is gone
└── WrongState (90)           the cluster's state forbids it: suspended, without a store, while jobs run

1 is a question answered with no, `plan --exit-code` with changes, or a bug in raystead itself. 130 is an
interrupted command. A job's own exit code is passed through by `submit`.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

__all__ = [
    "EXIT_CODES",
    "ApiError",
    "ApiUnreachable",
    "Busy",
    "ClusterExists",
    "ClusterNotFound",
    "CommandNotStarted",
    "Conflict",
    "Forbidden",
    "JobFailed",
    "JobNotFound",
    "KnownCause",
    "KubeConfigError",
    "NewerFormat",
    "NotEnough",
    "NotReady",
    "ObjectNotFound",
    "OutputGone",
    "PortInUse",
    "ProblemsFound",
    "RayMissing",
    "RayRefuses",
    "RayUnreachable",
    "RaysteadError",
    "Remains",
    "SpecError",
    "SpecProblem",
    "StateError",
    "StreamLost",
    "Unsupported",
    "UploadTooLarge",
    "UsageError",
    "WrongState",
]

INTERRUPTED = 130


class SpecProblem(Protocol):
    """One problem of a spec; `line` and `column` count from 1, 0 where there is no file."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def instead(self) -> str: ...


class KnownCause(Protocol):
    """One cause of a wait, as `explain` names it; `cause` is its page in docs/causes."""

    @property
    def cause(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def means(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def confidence(self) -> str: ...


def indented(remedy: str) -> str:
    """Further lines of a remedy below the first."""
    return remedy.replace("\n", "\n         ")


class RaysteadError(Exception):
    """What happened (`what`), how we know (`evidence`) and what to do next (`remedy`), each a sentence.

    `answered`: the command's own answer is on stdout already, so `-o json` adds no second document.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, evidence: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence
        self.remedy = remedy
        self.answered = False

    def diagnostics(self) -> str:
        """The text for people: one line each for what, how we know, what to do."""
        lines = [self.what]
        if self.evidence:
            lines.append(f"  seen   {self.evidence}")
        if self.remedy:
            lines.append(f"  do     {indented(self.remedy)}")
        return "\n".join(lines)


class UsageError(RaysteadError):
    exit_code = 2


class SpecError(RaysteadError):
    """`problems`: each with its file, line, column, path, what is wrong and what to write instead."""

    exit_code = 2

    def __init__(
        self, what: str, *, evidence: str = "", remedy: str = "", problems: tuple[SpecProblem, ...] = ()
    ) -> None:
        super().__init__(what, evidence=evidence, remedy=remedy)
        self.problems = problems


class ClusterNotFound(RaysteadError):
    exit_code = 64


class ClusterExists(RaysteadError):
    exit_code = 65


class NotEnough(RaysteadError):
    exit_code = 66


class RayMissing(RaysteadError):
    exit_code = 67


class NotReady(RaysteadError):
    """`findings`: what is known of why, the surest and weightiest first."""

    exit_code = 68

    def __init__(
        self, what: str, *, evidence: str = "", remedy: str = "", findings: tuple[KnownCause, ...] = ()
    ) -> None:
        super().__init__(what, evidence=evidence, remedy=remedy)
        self.findings = findings


class PortInUse(RaysteadError):
    exit_code = 69


class JobFailed(RaysteadError):
    exit_code = 70


class JobNotFound(RaysteadError):
    exit_code = 71


class UploadTooLarge(RaysteadError):
    """`leave_out`: patterns for --exclude with which the rest would fit; empty where that is not known."""

    exit_code = 72

    def __init__(
        self, what: str, *, evidence: str = "", remedy: str = "", leave_out: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, evidence=evidence, remedy=remedy)
        self.leave_out = leave_out


class RayUnreachable(RaysteadError):
    """`stuck`: we know why the head does not come, and nothing shows that it will by itself."""

    exit_code = 73

    def __init__(self, what: str, *, evidence: str = "", remedy: str = "", stuck: bool = False) -> None:
        super().__init__(what, evidence=evidence, remedy=remedy)
        self.stuck = stuck


class OutputGone(RaysteadError):
    exit_code = 89


class RayRefuses(RaysteadError):
    exit_code = 88


class StateError(RaysteadError):
    exit_code = 74


class Unsupported(RaysteadError):
    exit_code = 75


class KubeConfigError(RaysteadError):
    exit_code = 76


class ApiError(RaysteadError):
    """An answer of the API server that ends a command; `status` is the HTTP code, 0 without one."""

    exit_code = 80

    def __init__(
        self, what: str, *, evidence: str = "", remedy: str = "", status: int = 0, reason: str = ""
    ) -> None:
        super().__init__(what, evidence=evidence, remedy=remedy)
        self.status = status
        self.reason = reason


class ApiUnreachable(ApiError):
    exit_code = 77


class Forbidden(ApiError):
    """`verb`, `resource` ("pods", "deployments.apps") and `namespace` of the right that is missing.

    They are "" where the refusal names none; `namespace` also where the right is for the whole cluster.
    """

    exit_code = 78

    def __init__(
        self,
        what: str,
        *,
        evidence: str = "",
        remedy: str = "",
        status: int = 0,
        reason: str = "",
        verb: str = "",
        resource: str = "",
        namespace: str = "",
    ) -> None:
        super().__init__(what, evidence=evidence, remedy=remedy, status=status, reason=reason)
        self.verb = verb
        self.resource = resource
        self.namespace = namespace


class Conflict(ApiError):
    exit_code = 79


class StreamLost(RaysteadError):
    exit_code = 85


class CommandNotStarted(RaysteadError):
    exit_code = 86


class ObjectNotFound(ApiError):
    """An object is not there; ops turn it into what that means (no such cluster, a pod that went)."""

    exit_code = 87


class NewerFormat(RaysteadError):
    exit_code = 81


class Busy(RaysteadError):
    exit_code = 82


class Remains(RaysteadError):
    exit_code = 83


class ProblemsFound(RaysteadError):
    exit_code = 84


class WrongState(RaysteadError):
    exit_code = 90


def _all_below(cls: type[RaysteadError]) -> list[type[RaysteadError]]:
    return [c for sub in cls.__subclasses__() for c in (sub, *_all_below(sub))]


def tree() -> list[tuple[str, str, int, str]]:
    """The tree above as rows: an error's name, that of the error it is a kind of, exit code, meaning."""
    rows: list[tuple[str, str, int, str]] = []
    for line in (__doc__ or "").splitlines():
        if "── " not in line:
            continue
        stem, _, rest = line.partition("── ")
        name, code, meaning = rest.split(maxsplit=2)
        above = rows[-1] if rows else ("", "", 0, "")
        parent = "RaysteadError"
        if len(stem) > 1:
            parent = above[1] if above[1] != "RaysteadError" else above[0]
        rows.append((name, parent, int(code.strip("()")), meaning))
    return rows


EXIT_CODES: dict[str, int] = {cls.__name__: cls.exit_code for cls in _all_below(RaysteadError)}
