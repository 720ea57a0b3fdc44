"""The programs of `raystead.incluster` in a ConfigMap, and how a container runs one.

The pods name each file that they mount. So a file more or less in `incluster` is a change of their templates,
and restarts the head of every autoscaled cluster at its next `up`; other text in the same files is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from raystead.spec.model import Json

__all__ = ["FOLDER", "program_files", "program_volume", "run_program"]

FOLDER = "/opt/raystead"  # where the ConfigMap is mounted
_PACKAGE = "incluster"


@cache
def _sources() -> dict[str, str]:
    """File name to text; part of this package, so reading them is no more I/O than an import."""
    from importlib import resources  # 6 ms, for what most clusters have none of

    found = resources.files(f"raystead.{_PACKAGE}").iterdir()
    return {one.name: one.read_text("utf-8") for one in found if one.name.endswith(".py")}


def program_files(*names: str) -> dict[str, str]:
    """The ConfigMap's data: the programs named, and what they import."""
    texts = _sources()
    wanted, todo = {"__init__.py"}, [f"{name}.py" for name in names]
    while todo:
        one = todo.pop()
        if one not in wanted:
            wanted.add(one)
            todo += [other for other in texts if f"from .{other[:-3]} import" in texts[one]]
    return {name: texts[name] for name in sorted(wanted)}


def program_volume(name: str, config_map: str, data: Mapping[str, str]) -> Json:
    """A volume with `incluster/*.py` and the other files of the ConfigMap where a program expects them."""
    items = [
        {"key": key, "path": f"{_PACKAGE}/{key}" if key.endswith(".py") else key} for key in sorted(data)
    ]
    return {"name": name, "configMap": {"name": config_map, "items": items}}


def run_program(program: str, argument: str) -> Json:
    """The container's part that runs `incluster.PROGRAM FOLDER/ARGUMENT` by the image's own Python."""
    path = f"{FOLDER}/{argument}" if argument else FOLDER
    return {
        "command": ["python3", "-m", f"{_PACKAGE}.{program}", path],
        "env": [
            {"name": "PYTHONPATH", "value": FOLDER},
            {"name": "PYTHONUNBUFFERED", "value": "1"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
    }
