from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

from clary.errors import UsageError
from clary.vision.base.files import (
    PRIVATE,
    atomic,
    atomic_folder,
    private_folder,
    remove_temporaries,
    reserve,
    write_json,
    write_reserved,
    write_text,
)


def leave(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def fail(written: int) -> None:
    """Something goes wrong after so many bytes were written."""
    raise ZeroDivisionError(written)


class TestFile:
    def test_appears_whole(self, tmp_path: Path) -> None:
        with atomic(tmp_path / "deep/er/file") as file:
            file.write(b"half")
            assert not (tmp_path / "deep/er/file").exists()
            file.write(b"whole")
        assert (tmp_path / "deep/er/file").read_bytes() == b"halfwhole"
        assert leave(tmp_path) == ["deep", "deep/er", "deep/er/file"]

    def test_a_failure_leaves_the_old_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("old")
        with pytest.raises(ZeroDivisionError), atomic(tmp_path / "file") as file:
            fail(file.write(b"new"))
        assert (tmp_path / "file").read_text() == "old"
        assert leave(tmp_path) == ["file"]

    @pytest.mark.parametrize(
        ("number", "said"),
        [(errno.ENOSPC, "the disk is full, nothing was written; free"), (errno.EIO, "cannot be written")],
    )
    def test_what_the_system_says(self, tmp_path: Path, number: int, said: str) -> None:
        with pytest.raises(UsageError, match=said), atomic(tmp_path / "file"):
            raise OSError(number, os.strerror(number))
        assert leave(tmp_path) == []

    def test_a_folder_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "file").mkdir()
        with pytest.raises(UsageError, match="cannot be written"):
            write_text(tmp_path / "file", "x")
        (tmp_path / "plain").touch()
        with pytest.raises(UsageError, match="cannot be written"):
            write_text(tmp_path / "plain/file", "x")

    def test_permissions_are_the_usual_ones(self, tmp_path: Path) -> None:
        (tmp_path / "usual").touch()
        write_json(tmp_path / "file", {"é": [1]})
        assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode
        assert (tmp_path / "file").read_text() == '{\n  "é": [\n    1\n  ]\n}\n'

    def test_rights_are_there_from_the_start_and_the_umask_is_not_touched(self, tmp_path: Path, monkeypatch) -> None:
        """The umask is the process's: another thread's file would be made in between."""
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is touched"))
        with atomic(tmp_path / "file", PRIVATE) as file:
            file.write(b"x")
            (temporary,) = tmp_path.iterdir()
            assert temporary.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
        with atomic_folder(tmp_path / "out") as folder:
            assert folder.stat().st_mode & 0o700 == 0o700

    def test_the_name_is_on_the_disk_after_the_bytes(self, tmp_path: Path, synced: list[str]) -> None:
        write_text(tmp_path / "file", "x")
        assert [name.startswith(".file.") for name in synced] == [True, False]
        assert synced[1] == tmp_path.name


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """The names of files and folders in the order in which they were synced."""
    names: list[str] = []

    def fsync(descriptor: int, _fsync=os.fsync) -> None:
        names.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        _fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


class TestFolder:
    def test_a_durable_one_is_on_the_disk_with_all_its_files(self, tmp_path: Path, synced: list[str]) -> None:
        with atomic_folder(tmp_path / "out", durable=True) as folder:
            (folder / "sub").mkdir()
            (folder / "sub/file").write_text("x")
        assert sorted(synced[:-1])[1:] == ["file", "sub"]
        assert synced[-1] == tmp_path.name

    def test_appears_whole(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for name in ("new", "empty", "deep/er"):
            with atomic_folder(tmp_path / name) as folder:
                (folder / "sub").mkdir()
                (folder / "sub/file").touch()
                assert not (tmp_path / name / "sub").exists()
            assert leave(tmp_path / name) == ["sub", "sub/file"]
        (tmp_path / "usual").mkdir()
        assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_a_failure_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out") as folder:
            fail((folder / "file").write_text("x"))
        assert leave(tmp_path) == []

    def test_what_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full/file").touch()
        for name in ("full", "full/file"):
            with pytest.raises(UsageError, match="is there already"), atomic_folder(tmp_path / name):
                pytest.fail("must not start")
        assert leave(tmp_path) == ["full", "full/file"]

    def test_a_full_disk(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="the disk is full"), atomic_folder(tmp_path / "out"):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert leave(tmp_path) == []


def test_a_private_folder_and_those_above_it(tmp_path: Path) -> None:
    private_folder(tmp_path / "a/b/c")
    private_folder(tmp_path / "a/b/c")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


class TestReserved:
    def test_the_last_word_is_written_on_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reserve(tmp_path / "room")
        monkeypatch.setattr("clary.vision.base.files._beside", full_disk)
        with pytest.raises(UsageError, match="the disk is full"):
            write_text(tmp_path / "note", "why")
        write_reserved(tmp_path / "note", tmp_path / "room", "why")
        assert (tmp_path / "note").read_text() == "why"
        assert leave(tmp_path) == ["note"]
        with pytest.raises(UsageError, match="the disk is full"):  # once
            write_reserved(tmp_path / "other", tmp_path / "room", "why")

    def test_the_room_is_left_where_there_is_some(self, tmp_path: Path) -> None:
        reserve(tmp_path / "room")
        write_reserved(tmp_path / "note", tmp_path / "room", "why")
        assert leave(tmp_path) == ["note", "room"]
        assert (tmp_path / "room").read_bytes() == bytes(8192)


def full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_temporary_files_of_a_kill_go_and_no_others(tmp_path: Path) -> None:
    for name in (".a.gz.abcd_123", ".a.gz.abcd", ".a.gz.ABCD_123", ".b.gz.abcd_123", "a.gz"):
        (tmp_path / name).touch()
    (tmp_path / ".a.gz.dir_abcd" / "inner").mkdir(parents=True)
    remove_temporaries(tmp_path / "a.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".a.gz.ABCD_123",
        ".a.gz.abcd",
        ".b.gz.abcd_123",
        "a.gz",
    ]


def test_what_killed_processes_left_goes_with_the_next_try(tmp_path: Path) -> None:
    """Of a folder and of a file, and not of a process that is still at it, however long."""
    code = (
        "import os, signal, sys; from pathlib import Path; from clary.vision.base.files import atomic, atomic_folder\n"
    )
    code += "with atomic_folder(Path(sys.argv[1]) / 'set') as folder, atomic(Path(sys.argv[1]) / 'a.gz') as file:\n"
    code += "    (folder / 'x').touch(); file.write(b'x'); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    def there() -> list[str]:
        return [path.name for path in tmp_path.iterdir()]

    dead = there()
    assert len(dead) == 2
    with suppress(UsageError), atomic_folder(tmp_path / "set"), atomic(tmp_path / "a.gz"):
        alive = [name for name in there() if name not in dead]
        assert len(alive) == 2
        for name in dead + alive:
            os.utime(tmp_path / name, (0, 0))
        with atomic_folder(tmp_path / "set") as folder, atomic(tmp_path / "a.gz", sweep=True):
            assert not {*dead} & {*there()}
            assert {*alive} <= {*there()}
            (folder / "x").touch()
    # The outer folder finds another in its place, which is not what is tested here.
    assert sorted(there()) == ["a.gz", "set"]
