"""What of a working directory goes to the cluster, and what a runtime environment names by file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from raystead.errors import UploadTooLarge, UsageError
from raystead.ops.package import LIMIT, Package, pack
from raystead.ops.runtime_env import files_read, local_directory


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
    assert local_directory("s3://bucket/w.zip") is None
    assert local_directory(None) is None
    assert local_directory("/w") == Path("/w")
