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
├── RayUnreachable (73)       Ray's job API does not answer, or refuses
├── StateError (74)           our own state on disk cannot be read or written (disk full, damaged, locked)
└── Unsupported (75)          the spec needs something that this version does not do

130 is an interrupted command. A job's own exit code is passed through by `submit`.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "EXIT_CODES",
    "ClusterExists",
    "ClusterNotFound",
    "JobFailed",
    "JobNotFound",
    "NotEnough",
    "NotReady",
    "PortInUse",
    "RayMissing",
    "RayUnreachable",
    "RaysteadError",
    "SpecError",
    "StateError",
    "Unsupported",
    "UploadTooLarge",
    "UsageError",
]

INTERRUPTED = 130


class RaysteadError(Exception):
    """What happened (`what`), how we know (`evidence`) and what to do next (`remedy`), each a sentence."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, evidence: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence
        self.remedy = remedy

    def diagnostics(self) -> str:
        """The text for people: one line each for what, how we know, what to do."""
        lines = [self.what]
        if self.evidence:
            lines.append(f"  seen   {self.evidence}")
        if self.remedy:
            lines.append(f"  do     {self.remedy}")
        return "\n".join(lines)


class UsageError(RaysteadError):
    exit_code = 2


class SpecError(RaysteadError):
    exit_code = 2


class ClusterNotFound(RaysteadError):
    exit_code = 64


class ClusterExists(RaysteadError):
    exit_code = 65


class NotEnough(RaysteadError):
    exit_code = 66


class RayMissing(RaysteadError):
    exit_code = 67


class NotReady(RaysteadError):
    exit_code = 68


class PortInUse(RaysteadError):
    exit_code = 69


class JobFailed(RaysteadError):
    exit_code = 70


class JobNotFound(RaysteadError):
    exit_code = 71


class UploadTooLarge(RaysteadError):
    exit_code = 72


class RayUnreachable(RaysteadError):
    exit_code = 73


class StateError(RaysteadError):
    exit_code = 74


class Unsupported(RaysteadError):
    exit_code = 75


def _all_below(cls: type[RaysteadError]) -> list[type[RaysteadError]]:
    return [c for sub in cls.__subclasses__() for c in (sub, *_all_below(sub))]


EXIT_CODES: dict[str, int] = {cls.__name__: cls.exit_code for cls in _all_below(RaysteadError)}
