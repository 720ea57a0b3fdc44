"""What of a working directory goes to the cluster, and what a runtime environment names by file."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raystead.errors import UploadTooLarge, UsageError
from raystead.ops import package as packing
from raystead.ops import tree as walking
from raystead.ops.package import LIMIT, Package, measure, pack, package_of_file
from raystead.ops.runtime_env import excludes_of, files_read, local_path, modules_of


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(package: Package) -> list[str]:
    with zipfile.ZipFile(package.path) as archive:
        return archive.namelist()


def packed(root: Path, tmp_path: Path, *excludes: str, under: str = "") -> Package:
    return pack(root, tmp_path / "p.zip", excludes, under=under)


def test_ignore_files_work_as_git_has_them(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "w",
        *(
            "main.py",
            "data/a.csv",
            "data/keep.csv",
            "lib/x.py",
            "lib/x.pyc",
            "lib/out/y",
            ".git/config",
            "out/z",
        ),
    )
    (root / ".gitignore").write_text("# comment\n*.pyc\n/out\ndata/*\n!data/keep.csv\n")
    (root / "lib" / ".rayignore").write_text("out/\n")
    package = packed(root, tmp_path)
    assert names(package) == [".gitignore", "data/keep.csv", "lib/.rayignore", "lib/x.py", "main.py"]
    assert package.files == 5
    assert package.ignored == 5, "a folder that is left out counts once"


def test_excludes_of_the_command_line_add_to_the_files(tmp_path: Path) -> None:
    root = tree(tmp_path / "w", "a.py", "b.txt", "c/b.txt")
    assert names(packed(root, tmp_path, "b.txt")) == ["a.py"]


def test_the_same_contents_have_the_same_name_and_others_another(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one", "a", "b/c"), tree(tmp_path / "two", "b/c", "a")
    first = packed(one, tmp_path).name
    assert packed(two, tmp_path).name == first
    assert packed(two, tmp_path, under="m").name != first, "a module's package is another one"
    (two / "a").chmod(0o755)
    assert packed(two, tmp_path).name != first


def test_a_module_goes_into_a_folder_of_its_name(tmp_path: Path) -> None:
    root = tree(tmp_path / "module", "__init__.py")
    assert names(packed(root, tmp_path, under="module")) == ["module/__init__.py"]


def test_linked_folders_go_along_and_circles_end(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "elsewhere", "x.py")
    root = tree(tmp_path / "w", "a.py")
    (root / "link").symlink_to(elsewhere)
    (root / "circle").symlink_to(root)
    (root / "dangling").symlink_to(tmp_path / "none")
    assert names(packed(root, tmp_path)) == ["a.py", "link/x.py"]


def workspace(root: Path, packages: int) -> Path:
    """A monorepo as pnpm links it: each package's node_modules has a link to every other package."""
    for one in range(packages):
        tree(root, f"packages/p{one}/index.js")
        modules = root / f"packages/p{one}/node_modules"
        modules.mkdir()
        for other in range(packages):
            if other != one:
                (modules / f"p{other}").symlink_to(f"../../p{other}", target_is_directory=True)
    return root


def test_folders_that_link_to_each_other_are_copied_while_that_is_sane(tmp_path: Path) -> None:
    found = names(packed(workspace(tmp_path / "w", 3), tmp_path))
    assert "packages/p0/node_modules/p1/node_modules/p2/index.js" in found
    assert len(found) == 3 + 6 + 6, "each once, by one link, by two; a third would lead back"


def test_folders_that_link_to_each_other_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "_COPIES", 1000)
    root = workspace(tmp_path / "w", 14)  # 14! ways, 87 thousand million
    with pytest.raises(UsageError, match="more than 1,000 times over") as caught:
        packed(root, tmp_path)
    assert "/node_modules/" in caught.value.evidence
    assert len(names(packed(root, tmp_path, "node_modules/"))) == 14, "with what the error says to do"


def test_the_limit_is_rays_and_counts_the_zip_not_the_files(tmp_path: Path) -> None:
    root = tree(tmp_path / "w", "small")
    with (root / "zeros").open("wb") as stream:
        stream.truncate(2 * LIMIT)
    assert packed(root, tmp_path).bytes < LIMIT
    (root / "noise").write_bytes(os.urandom(LIMIT + 1))
    with pytest.raises(UploadTooLarge) as caught:
        packed(root, tmp_path)
    text = caught.value.diagnostics()
    assert text.index("zeros") < text.index("noise") < text.index("small"), "largest first"


def test_what_is_no_directory_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        packed(tmp_path / "none", tmp_path)
    with pytest.raises(UsageError, match="is not a directory"):
        packed(tree(tmp_path, "file") / "file", tmp_path)


def test_files_that_a_runtime_environment_names_are_read_here(tmp_path: Path) -> None:
    requirements, conda = tmp_path / "r.txt", tmp_path / "env.yaml"
    requirements.write_text("# ours\nrequests==2.32 # pinned\n\nnumpy\n")
    conda.write_text("dependencies: [pip]\n")
    assert files_read({"pip": str(requirements), "conda": str(conda), "uv": ["x"]}) == {
        "pip": ["requests==2.32", "numpy"],
        "conda": {"dependencies": ["pip"]},
    }
    assert files_read({"conda": "an-environment-of-the-image"}) == {}
    with pytest.raises(UsageError, match="cannot be read"):
        files_read({"pip": str(tmp_path / "none.txt")})


def test_an_address_is_not_a_directory_of_ours() -> None:
    assert local_path("s3://bucket/w.zip") is None
    assert local_path(None) is None
    assert local_path("/w") == Path("/w")


def test_two_ways_to_one_folder_are_two_folders_and_empty_ones_stay(tmp_path: Path) -> None:
    """As Ray's own client sends them: a job that lists its directory sees what stands there."""
    root = tree(tmp_path / "w", "real/x.py")
    (root / "also").symlink_to(root / "real")
    (root / "real" / "up").symlink_to(root)
    (root / "outputs" / "run").mkdir(parents=True)
    package = packed(root, tmp_path)
    assert names(package) == ["also/x.py", "outputs/run/", "real/x.py"]
    assert package.files == 2
    with zipfile.ZipFile(package.path) as archive:
        assert archive.getinfo("outputs/run/").external_attr >> 16 & 0o40000, "a folder for every unzip"


def test_bytes_cannot_wander_between_files_without_another_name(tmp_path: Path) -> None:
    """Two directories of which names and contents, written one after the other, are the same bytes."""
    one, two = tmp_path / "one", tmp_path / "two"
    for root, a in ((one, b"x"), (two, b"xb\x00420\x00y")):
        root.mkdir()
        (root / "a").write_bytes(a)
        (root / "a").chmod(0o644)
    (one / "b").write_bytes(b"y")
    (one / "b").chmod(0o644)
    assert packed(one, tmp_path).name != packed(two, tmp_path).name


@pytest.mark.parametrize(
    ("ignore", "excludes", "kept"),
    [
        ("*.bin\n!keep.bin\n", ["keep.bin"], []),
        ("*.bin\n!keep.bin\n", [], ["keep.bin"]),
        ("*.bin\n", ["!other.bin"], ["other.bin"]),
        ("", ["*.bin", "!keep.bin"], ["keep.bin"]),
    ],
)
def test_the_command_line_has_the_last_word_on_what_goes_along(
    ignore: str, excludes: list[str], kept: list[str], tmp_path: Path
) -> None:
    root = tree(tmp_path / "w", "keep.bin", "other.bin")
    (root / ".gitignore").write_text(ignore)
    assert [name for name in names(packed(root, tmp_path, *excludes)) if name.endswith(".bin")] == kept


def test_what_rays_client_never_sends_stays_here_unless_it_is_asked_for(tmp_path: Path) -> None:
    root = tree(tmp_path / "w", "a.py", ".venv/lib.py", "venv/lib.py", "x/__pycache__/a.pyc", ".git/config")
    assert names(packed(root, tmp_path)) == ["a.py"]
    assert "venv/lib.py" in names(packed(root, tmp_path, "!venv"))


@pytest.fixture
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which this process has no more rights than its modes give."""
    with tempfile.TemporaryDirectory(prefix="raystead-test-") as made:
        root = Path(made)
        if os.geteuid():
            yield root
            return
        os.chown(root, 65534, 65534)
        os.seteuid(65534)
        try:
            yield root
        finally:
            os.seteuid(0)


def test_what_cannot_be_read_is_named_and_may_be_left_out(nobody: Path) -> None:
    root = tree(nobody / "w", "a.py", "shut/b.py", "locked.txt")
    (root / "shut").chmod(0)
    (root / "locked.txt").chmod(0)
    try:
        with pytest.raises(UsageError) as caught:
            pack(root, nobody / "p.zip")
        assert {"shut/: Permission denied", "locked.txt: Permission denied"} <= {
            line.strip() for line in caught.value.evidence.splitlines()
        }
        assert names(pack(root, nobody / "p.zip", ["shut", "*.txt"])) == ["a.py"]
    finally:
        (root / "shut").chmod(0o700)


def test_a_name_that_is_no_text_is_refused_and_can_be_excluded(tmp_path: Path) -> None:
    root = tree(tmp_path / "w", "a.py")
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(UsageError, match="cannot be sent") as caught:
        packed(root, tmp_path)
    assert "caf?.txt" in caught.value.evidence
    assert names(packed(root, tmp_path, "caf?.txt")) == ["a.py"], "with the words that the error gives"


def test_a_directory_that_cannot_fit_is_refused_before_it_is_zipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "w", "train.py", "code/x.py")
    monkeypatch.setattr(packing, "LIMIT", 1 << 20)
    monkeypatch.setattr(packing, "_HOPELESS", 2 << 20)
    (root / "data").mkdir()
    for number in range(3):
        (root / "data" / f"{number}.bin").write_bytes(os.urandom(1 << 20))
    with monkeypatch.context() as patched:
        patched.setattr(packing.zipfile, "ZipFile", lambda *a, **k: pytest.fail("nothing is zipped"))
        with pytest.raises(UploadTooLarge) as caught:
            packed(root, tmp_path)
    assert caught.value.leave_out == ("/data/",)
    assert "data/   (3 files, the largest data/" in caught.value.evidence
    assert names(packed(root, tmp_path, *caught.value.leave_out)) == ["code/x.py", "train.py"]


def test_counting_ends_where_it_is_hopeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "w", *(f"{number:04}" for number in range(50)))
    monkeypatch.setattr(packing, "_HOPELESS", 10)
    monkeypatch.setattr(packing, "_PATIENCE", -1.0)
    sizes = measure(root)
    assert not sizes.whole
    assert sizes.files < 50
    with pytest.raises(UploadTooLarge, match="over Ray's") as caught:
        packed(root, tmp_path)
    assert "more than" in caught.value.evidence
    assert caught.value.leave_out == (), "no advice from half a count"


def test_files_as_ray_takes_them(tmp_path: Path) -> None:
    wheel, archive, module = tmp_path / "m-1.0-py3-none-any.whl", tmp_path / "w.tar.gz", tmp_path / "one.py"
    for path in (wheel, archive, module):
        path.write_bytes(b"contents")
    target = tmp_path / "p"
    assert package_of_file(wheel, target, module=True).name == wheel.name, "pip reads it"
    assert package_of_file(archive, target, module=False).name.endswith(".tar.gz")
    assert names(package_of_file(module, target, module=True)) == ["one.py"]
    with pytest.raises(UsageError, match="takes no such file"):
        package_of_file(module, target, module=False)


def test_lines_that_are_no_pattern_say_nothing_in_a_file_and_are_refused_on_the_command_line(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    for name in ("a.log", "b.py", "data/c.bin"):
        (root / name).write_text("x")
    (root / ".gitignore").write_text("!\n\\\n[[:alpha:]]*\n*.log\n")
    assert names(packed(root, tmp_path)) == [".gitignore", "b.py", "data/c.bin"]
    assert names(packed(root, tmp_path, "./data")) == [".gitignore", "b.py"]
    for wrong in ("!", "\\"):
        with pytest.raises(UsageError) as caught:
            packed(root, tmp_path, "*.py", wrong)
        assert repr(wrong) in caught.value.what
    assert not recwarn.list


def test_excludes_and_modules_of_a_runtime_environment() -> None:
    assert excludes_of({"excludes": "*.bin"}) == ("*.bin",), "not its letters"
    assert excludes_of({"excludes": ["a", "b"]}) == ("a", "b")
    assert excludes_of({}) == ()
    for wrong in ({"a": 1}, [1], 5):
        with pytest.raises(UsageError, match="expected a list of patterns"):
            excludes_of({"excludes": wrong})
    with pytest.raises(UsageError, match="py_modules"):
        modules_of({"py_modules": "./m"})
