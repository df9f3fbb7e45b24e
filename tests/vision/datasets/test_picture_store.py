"""Decoded pictures on disk: what comes back, what never does, and how much stays."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from clary.vision.base.decoded_size import DecodedSize
from clary.vision.datasets import picture_store
from clary.vision.datasets.picture_store import PictureStore

SIZE = DecodedSize(32, 32)
BYTES = 32 * 48 * 3

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="rights and links as POSIX has them")


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLARY_PICTURES", str(tmp_path / "cache" / "pictures"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def store(place: Path) -> PictureStore:
    found = PictureStore.usual()
    assert found is not None
    return found


def test_pixels_come_back_for_the_same_bytes_at_the_same_size_alone(store: PictureStore) -> None:
    store.put(b"a", SIZE, pixels(0))
    found = store.get(b"a", SIZE)
    assert found is not None
    np.testing.assert_array_equal(found, pixels(0))
    found[:] = 0  # as any picture that was decoded just now
    assert store.get(b"b", SIZE) is None
    assert store.get(b"a", DecodedSize(32, None)) is None
    assert store.get(b"a", DecodedSize(33, 32)) is None


def test_other_versions_of_the_decoders_decode_anew(store: PictureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(b"a", SIZE, pixels(0))
    monkeypatch.setattr(picture_store, "_MADE_WITH", "others")
    assert store.get(b"a", SIZE) is None


def test_nobody_else_may_look(store: PictureStore, place: Path) -> None:
    store.put(b"a", SIZE, pixels(0))
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    (file,) = place.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("damage", ["zeros", "short", "long", "empty", "other", "link", "folder", "pipe"])
def test_what_is_not_what_was_written_is_none(damage: str, store: PictureStore, place: Path) -> None:
    store.put(b"a", SIZE, pixels(0))
    (file,) = place.iterdir()
    data = file.read_bytes()
    file.unlink()
    if damage == "link":
        (place.parent / "elsewhere").write_bytes(data)
        file.symlink_to(place.parent / "elsewhere")
    elif damage == "folder":
        file.mkdir()
    elif damage == "pipe":
        os.mkfifo(file)
    else:
        changed = {
            "zeros": data[:-100] + bytes(100),
            "short": data[:-1],
            "long": data + b"x",
            "empty": b"",
            "other": b"x" * len(data),
        }
        file.write_bytes(changed[damage])
    assert store.get(b"a", SIZE) is None


def test_those_used_longest_ago_go_first(place: Path) -> None:
    PictureStore.usual()
    limit = 16 * (BYTES + 20)
    old = PictureStore(place, limit)
    for seed in range(16):
        old.put(bytes([seed]), SIZE, pixels(seed))
    for age, file in enumerate(sorted(place.iterdir())):
        os.utime(file, (0, age))
    kept = old.get(b"\0", SIZE)
    new = PictureStore(place, limit)
    new.put(b"new", SIZE, pixels(99))
    assert kept is not None
    assert new.get(b"\0", SIZE) is not None
    assert new.get(b"new", SIZE) is not None
    assert sum(file.stat().st_size for file in place.iterdir()) <= limit
    assert len(list(place.iterdir())) < 17


def test_one_training_never_throws_out_its_own(place: Path) -> None:
    PictureStore.usual()
    limit = 8 * (BYTES + 20)
    store = PictureStore(place, limit)
    for seed in range(20):
        store.put(bytes([seed]), SIZE, pixels(seed))
    assert sum(file.stat().st_size for file in place.iterdir()) <= limit
    assert store.get(b"\0", SIZE) is not None


def test_two_that_write_at_once_leave_whole_files(store: PictureStore, place: Path) -> None:
    others = [PictureStore(place) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: others[n % 4].put(bytes([n % 5]), SIZE, pixels(n % 5)), range(40)))
    assert len(list(place.iterdir())) == 5
    for seed in range(5):
        np.testing.assert_array_equal(store.get(bytes([seed]), SIZE), pixels(seed))


def test_what_killed_processes_left_goes(store: PictureStore, place: Path) -> None:
    old, young = (f".{letter * 64}.01234567" for letter in "ab")
    for name in (old, young):
        (place / name).write_bytes(b"half")
    os.utime(place / old, (0, 0))
    store.put(b"a", SIZE, pixels(0))
    assert {file.name for file in place.iterdir() if file.name.startswith(".")} == {young}


def test_files_of_a_folder_that_was_somebodys_stay(place: Path) -> None:
    PictureStore.usual()
    theirs = [place / name for name in (".bashrc", "cat.jpg", "f" * 63, ".dir")]
    for path in theirs:
        path.mkdir() if path.name == ".dir" else path.write_bytes(bytes(10_000))
        os.utime(path, (0, 0))
    limit = 8 * (BYTES + 20)
    for seed in range(20):
        PictureStore(place, limit).put(bytes([seed]), SIZE, pixels(seed))
    assert all(path.exists() for path in theirs)
    assert sum(file.stat().st_size for file in place.iterdir() if len(file.name) == 64) <= limit
    assert len(list(place.iterdir())) > len(theirs)


def test_folder_that_may_only_be_read_gives_what_it_has(store: PictureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(b"a", SIZE, pixels(0))

    def refuse(*words: object, **others: object) -> None:
        raise PermissionError(1, "Read-only file system")

    for name in ("utime", "replace", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    np.testing.assert_array_equal(store.get(b"a", SIZE), pixels(0))
    store.put(b"b", SIZE, pixels(1))


def test_folder_that_cannot_be_looked_at_is_looked_at_once(
    store: PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def refuse(*words: object) -> None:
        looks.append(words)
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "scandir", refuse)
    for seed in range(5):
        store.put(bytes([seed]), SIZE, pixels(seed))
    assert len(looks) == 1


def test_pixels_of_another_shape_are_none(store: PictureStore, place: Path) -> None:
    store.put(b"a", SIZE, pixels(0))
    (file,) = place.iterdir()
    data = bytearray(file.read_bytes())
    data[8:16] = data[12:16] + data[8:12]  # height and width
    file.write_bytes(data)
    assert store.get(b"a", SIZE) is None


def test_full_disk_is_no_error(store: PictureStore, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(place)._replace(free=picture_store.ROOM + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    store.put(b"a", SIZE, pixels(0))
    assert list(place.iterdir()) == []
    assert store.get(b"a", SIZE) is None


def test_folder_that_is_gone_is_no_error(store: PictureStore, place: Path) -> None:
    place.rmdir()
    store.put(b"a", SIZE, pixels(0))
    assert store.get(b"a", SIZE) is None


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARY_PICTURES", "off")
    assert PictureStore.usual() is None


@pytest.mark.parametrize("kind", ["link", "writable", "file"])
def test_folder_of_others_is_not_used(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pictures"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        path.write_text("")
    else:
        path.mkdir()
        path.chmod(0o777)
    monkeypatch.setenv("CLARY_PICTURES", str(path))
    assert PictureStore.usual() is None


def test_it_stands_beside_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLARY_PICTURES", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert picture_store.folder() == tmp_path / ".cache" / "clary" / "pictures"
