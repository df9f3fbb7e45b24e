"""The source archive and the entry point in it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from clary.errors import CustomerError
from clary.toolkit.source import check_entry_point, command_line, entry_point_kind, unpack


def packed(file: Path, names: dict[str, int], mode: str = "w:gz") -> Path:
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]  # the mode is a variable
        for name, rights in names.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = rights, 4
            archive.addfile(info, io.BytesIO(b"text"))
    return file


def test_programs_stay_programs_and_folders_are_made(tmp_path):
    unpack(packed(tmp_path / "a", {"train.py": 0o644, "./tools/run": 0o755}), tmp_path / "code", "s3://b/a")
    assert (tmp_path / "code" / "tools" / "run").stat().st_mode & 0o111
    assert not (tmp_path / "code" / "train.py").stat().st_mode & 0o111


def test_a_folder_is_copied(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").touch()
    unpack(tmp_path / "source", tmp_path / "code", "/opt/ml/input/data/code")
    assert (tmp_path / "code" / "train.py").exists()


def test_archives_that_nobody_unpacks(tmp_path):
    (tmp_path / "text").write_text("import torch\n")
    with pytest.raises(CustomerError, match=r"^s3://b/a: the source archive is not a tar archive or is damaged"):
        unpack(tmp_path / "text", tmp_path / "one", "s3://b/a")
    with pytest.raises(CustomerError, match=r"^s3://b/a: the source archive member `\.\./x` "):
        unpack(packed(tmp_path / "a", {"../x": 0o644}), tmp_path / "two", "s3://b/a")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("trian.py", "the entry point trian.py is not in the source archive; did you mean train.py?"),
        ("deep.py", "did you mean src/deep.py?"),
        ("nothing-like-it.sh", "it holds src/deep.py, train.py"),
        ("../train.py", "the entry point `../train.py` cannot be started"),
        ("/bin/sh", "the entry point `/bin/sh` cannot be started"),
        ("train.py; rm x", "the entry point `train.py; rm x` cannot be started"),
        ("-c", "the entry point `-c` cannot be started"),
    ],
)
def test_an_entry_point_that_cannot_be_started(tmp_path, program, said):
    (tmp_path / "src").mkdir()
    for name in ("train.py", "src/deep.py"):
        (tmp_path / name).touch()
    check_entry_point("src/deep.py", tmp_path, "s3://b/a")
    with pytest.raises(CustomerError) as refused:
        check_entry_point(program, tmp_path, "s3://b/a")
    assert said in str(refused.value)


def test_an_empty_source(tmp_path):
    with pytest.raises(CustomerError, match="is not in the source archive; it is empty"):
        check_entry_point("train.py", tmp_path, "s3://b/a")


@pytest.mark.parametrize(
    ("program", "setup", "words"),
    [
        ("train.py", False, ["python", "--", "train.py", "--a", "b c"]),
        ("src/train.py", True, ["python", "-m", "src.train", "--a", "b c"]),
        ("mine", True, ["python", "-m", "mine", "--a", "b c"]),
        ("run.sh", True, ["/bin/sh", "-c", "./run.sh --a 'b c'"]),
        ("run", False, ["/bin/sh", "-c", "./run --a 'b c'"]),
    ],
)
def test_how_each_is_started(tmp_path, program, setup, words):
    if setup:
        (tmp_path / "setup.py").touch()
    kind = entry_point_kind(program, tmp_path)
    assert command_line(kind, program, ["--a", "b c"], ["python"]) == words
