"""What is said when raystead itself fails: one sentence and the place; with --debug the way there.

Never a value: the message of an exception may hold anything that was being worked on, a token too. So the
sentence names the kind of the exception only, and the frames are shown without their variables.
"""

from __future__ import annotations

import json
import platform
import traceback
from dataclasses import asdict, is_dataclass
from pathlib import Path

from msgspec import Struct, structs

from raystead.base.secrets import masked_text
from raystead.base.version import __version__
from raystead.errors import RaysteadError

_HERE = Path(__file__).parent.parent


def as_json(error: RaysteadError) -> str:
    """An error as one JSON object: its class, exit code and sentences, and the data that it carries."""
    sentences = ("what", "evidence", "remedy")
    data = {key: value for key, value in vars(error).items() if key not in (*sentences, "answered")}
    out = {"type": type(error).__name__, "exitCode": error.exit_code}
    out |= {key: getattr(error, key) for key in sentences}
    return json.dumps({"error": _masked({**out, **data})}, indent=2)


def _masked(value: object) -> object:
    """As JSON knows it, each text by itself without what may be secret."""
    if isinstance(value, Struct):
        value = structs.asdict(value)
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else masked_text(str(value))


def sentences(error: BaseException, *, debug: bool) -> str:
    """The sentences for an exception that nobody expected."""
    what = f"this is a bug in raystead, not a mistake of yours: {_kind(error)} at {_place(error)}"
    seen = f"raystead {__version__}, Python {platform.python_version()}"
    if isinstance(error, RecursionError):
        what = f"what was given is nested too deeply: {_place(error)}"
    elif isinstance(error, MemoryError):
        what = f"this machine does not have enough memory for what was given: {_place(error)}"
    remedy = "report it with the output of the same command with --debug" if not debug else ""
    text = RaysteadError(what, evidence=seen, remedy=remedy).diagnostics()
    return f"{text}\n{_way(error)}" if debug else text


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _place(error: BaseException) -> str:
    """The deepest frame of ours: `spec/load.py:123`."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_HERE)] or frames
    return _short(ours[-1]) if ours else "an unknown place"


def _short(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    parts = path.relative_to(_HERE).parts if path.is_relative_to(_HERE) else path.parts[-3:]
    return f"{'/'.join(parts)}:{frame.lineno}"


def _way(error: BaseException) -> str:
    """Every frame and every cause, without variables; messages with what may be secret masked."""
    lines: list[str] = []
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        frames = traceback.extract_tb(step.__traceback__)
        if len(frames) > 40:
            frames = traceback.StackSummary.from_list([*frames[:20], *frames[-20:]])
        lines += [f"  {_short(frame)} in {frame.name}" for frame in frames]
        lines.append(f"  {_kind(step)}: {masked_text(str(step)[:500], random=True)}")
        step = step.__cause__ or step.__context__
        if step is not None:
            lines.append("  caused by")
    return "\n".join(lines)
