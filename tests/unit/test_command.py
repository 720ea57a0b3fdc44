"""What a job's command names of the current directory, and what is done about it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from raystead.errors import UsageError
from raystead.ops.command import check_program, named_files, not_here


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("train.py", "conf/a.yaml", "pkg/__main__.py", "run.sh", "tool", "train/x", "ls"):
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "w" / name).write_text("")
    (tmp_path / "w" / "tool").chmod(0o755)
    (tmp_path / "beside.py").write_text("")
    return tmp_path / "w"


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (("python", "train.py", "--epochs", "3"), ["train.py"]),
        (("python", "./train.py"), ["train.py"]),
        (("python train.py && echo done",), ["train.py"]),
        (("bash", "-c", "cd conf; python train.py"), ["train.py"]),
        (("bash", "-lc", "python 'train.py';"), ["train.py"]),
        (("python", "-m", "pkg"), ["pkg/__main__.py"]),
        (("python", "-m", "train"), ["train.py"]),
        (("python", "x.py", "--config=conf/a.yaml"), ["conf/a.yaml"]),
        (("pytest", "conf/"), ["conf"]),
        (("python", "x.py", "train"), []),  # a word that happens to be a folder
        (("python", "-c", "import train; open('train.py')"), []),
        (("python", "/etc/hostname"), []),  # the cluster's own
        (("python", "none.py"), []),
        (("true",), []),
        (("echo", "a\0b", "x" * 5000), []),
        (("echo 'unbalanced",), []),
    ],
)
def test_words_that_are_files_here(command: tuple[str, ...], files: list[str], here: Path) -> None:
    assert named_files(command, here) == files


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("python trian.py", ("trian.py", "train.py")),
        ("python3 -u other/x.py --lr 3", ("other/x.py", "")),
        ("python train.py missing.py", ("", "")),
        ("python /app/x.py", ("", "")),
        ("python -m x.py", ("", "")),
        ("bash -c 'cd /app && python x.py'", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_program_that_is_not_here_is_told_before_the_job_fails_for_it(
    command: str, told: tuple[str, str], here: Path
) -> None:
    assert not_here(shlex.split(command), here) == told


def test_a_file_beside_the_directory_would_not_go_along(here: Path) -> None:
    with pytest.raises(UsageError, match="outside") as caught:
        named_files(("python", "../beside.py"), here)
    assert caught.value.remedy.endswith("--working-dir ..")


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (("train.py", "-v"), ("python", "train.py", "-v")),
        (("train.py -v",), ("python", "train.py", "-v")),
        (("./train.py",), ("python", "./train.py")),
        (("run.sh",), ("bash", "run.sh")),
        (("tool", "x"), ("./tool", "x")),
        (("./tool",), None),
        (("ls",), None),  # the program is meant, though a file of that name is here
        (("python", "train.py"), None),
        (("none.py",), None),
    ],
)
def test_a_file_that_a_shell_would_not_run_gets_its_hint(
    command: tuple[str, ...], meant: tuple[str, ...] | None, here: Path
) -> None:
    assert check_program(command, here) == meant
