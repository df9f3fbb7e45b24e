"""What only the folder promises."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.objects import local
from clary.control.objects.base import NoSuchBucket, NoSuchKey
from clary.control.objects.local import LocalStore
from clary.control.objects.moving import TEMPORARY
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.wire.errors import ServiceError


@pytest.fixture
def box(store: LocalStore) -> Path:
    store.create_bucket("box", "us-east-1")
    return store.root / "box"


def write(path: Path, text: str = "content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def keys(store: LocalStore, prefix: str = "") -> list[str]:
    return [each.key for each in store.list("box", prefix)]


class TestFolder:
    def test_files_put_there_by_hand_are_objects(self, store: LocalStore, box: Path) -> None:
        write(box / "by" / "hand.txt")
        assert keys(store) == ["by/hand.txt"]
        with store.open("box", "by/hand.txt") as stream:
            assert stream.read() == b"content"

    def test_a_folder_made_by_hand_is_a_bucket(self, store: LocalStore) -> None:
        (store.root / "pets").mkdir()
        (store.root / "No Bucket").mkdir()
        (store.root / "file").touch()
        assert [name for name, _ in store.buckets()] == ["pets"]

    def test_fetch_links(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        source = write(box / "x")
        store.fetch("box", "x", tmp_path / "x")
        assert (tmp_path / "x").samefile(source)

    def test_a_later_put_leaves_a_link_as_it_is(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        write(box / "x", "old")
        store.fetch("box", "x", tmp_path / "held")
        store.put("box", "x", write(tmp_path / "new", "new"))
        assert (tmp_path / "held").read_text() == "old"
        assert (box / "x").read_text() == "new"

    def test_fetch_to_another_disk_copies(
        self, store: LocalStore, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError(errno.EXDEV, "another disk")

        source = write(box / "x")
        monkeypatch.setattr(os, "link", refused)
        store.fetch("box", "x", tmp_path / "x")
        assert (tmp_path / "x").read_text() == "content"
        assert not (tmp_path / "x").samefile(source)

    def test_a_bucket_on_another_disk_can_be_written(
        self, store: LocalStore, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.replace

        def replace_(source: Path, target: Path) -> None:
            if source.parent != target.parent:
                raise OSError(errno.EXDEV, "another disk")
            real(source, target)

        monkeypatch.setattr(os, "replace", replace_)
        store.put("box", "a/x", write(tmp_path / "new"))
        assert keys(store) == ["a/x"]
        assert [path.name for path in (box / "a").iterdir()] == ["x"]
        assert list(store.staging.iterdir()) == []

    def test_what_is_on_its_way_is_not_shown(self, store: LocalStore, box: Path) -> None:
        write(box / f"{TEMPORARY.decode()}1")
        write(store.staging / "half")
        assert keys(store) == []
        assert not store.bucket_exists(local.STAGING)


class TestNames:
    @pytest.mark.parametrize("key", ["../out", "a/../../out", "/etc/passwd", "a/./b", "..", "a\x00b"])
    def test_no_key_leads_out(self, store: LocalStore, box: Path, tmp_path: Path, key: str) -> None:
        write(store.root / "out")
        with pytest.raises(NoSuchKey):
            store.open("box", key)
        store.put("box", key, write(tmp_path / "new", "of the key"))
        store.fetch("box", key, tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == "of the key"
        store.delete("box", key)
        assert (store.root / "out").read_text() == "content"
        assert list(box.iterdir()) == []

    @pytest.mark.parametrize("bucket", ["..", ".", "", ".staging", "box/a", "no"])
    def test_no_bucket_leads_out(self, store: LocalStore, box: Path, tmp_path: Path, bucket: str) -> None:
        write(box / "a" / "x")
        with pytest.raises(NoSuchBucket):
            store.open(bucket, "x")
        with pytest.raises(NoSuchBucket):
            store.list(bucket)
        with pytest.raises(NoSuchBucket):
            store.put(bucket, "x", write(tmp_path / "new"))
        with pytest.raises(NoSuchBucket):
            store.delete(bucket, "x")

    def test_links_are_neither_shown_nor_followed(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        write(tmp_path / "outside" / "secret")
        (box / "folder").symlink_to(tmp_path / "outside")
        (box / "file").symlink_to(tmp_path / "outside" / "secret")
        (store.root / "linked").symlink_to(tmp_path / "outside")
        assert keys(store) == keys(store, "folder/") == []
        for key in ("folder/secret", "file"):
            with pytest.raises(NoSuchKey):
                store.open("box", key)
            with pytest.raises(ServiceError, match="symbolic link"):
                store.put("box", key, write(tmp_path / "new"))
        store.delete("box", "folder/secret")
        store.delete("box", "file")
        assert (box / "file").is_symlink()
        assert (tmp_path / "outside" / "secret").read_text() == "content"
        assert not store.bucket_exists("linked")

    def test_a_key_stands_beside_keys_below_it(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        write(box / "a" / "x")
        write(box / "b")
        new = write(tmp_path / "new")
        for key in ("a", "b/x", "b/x/y"):
            store.put("box", key, new)
        assert keys(store) == ["a", "a/x", "b", "b/x", "b/x/y"]
        assert list(store.staging.iterdir()) == []

    def test_an_empty_folder_is_in_nobodys_way(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        (box / "a" / "b").mkdir(parents=True)
        store.put("box", "a", write(tmp_path / "new"))
        assert keys(store) == ["a"]


class TestFolders:
    def test_a_marker_is_an_object_until_it_is_deleted(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        store.put("box", "a/b/", write(tmp_path / "new", ""))
        write(box / "a" / "b" / "x")
        assert keys(store) == keys(store, "a/b/") == keys(store, "a/") == ["a/b/", "a/b/x"]
        assert [e.key for e in store.walk("box", b"a/b/", shallow=True)] == [b"a/b/", b"a/b/x"]
        assert [e.key for e in store.walk("box", b"a/b/", b"a/b/")] == [b"a/b/x"]
        assert store.open("box", "a/b/").read() == b""
        store.delete("box", "a/b/x")
        assert keys(store) == ["a/b/"]
        store.delete("box", "a/b/")
        assert keys(store) == []
        assert list(box.iterdir()) == []

    def test_deleting_a_marker_keeps_what_lies_below(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        store.put("box", "a/", write(tmp_path / "new", ""))
        write(box / "a" / "x")
        store.delete("box", "a/")
        assert keys(store) == ["a/x"]

    def test_a_folder_nobody_asked_for_is_no_object(self, store: LocalStore, box: Path) -> None:
        (box / "a").mkdir()
        assert keys(store) == []
        with pytest.raises(NoSuchKey):
            store.open("box", "a/")

    def test_deleting_the_last_object_removes_its_folders(self, store: LocalStore, box: Path) -> None:
        write(box / "a" / "b" / "x")
        write(box / "a" / "y")
        store.delete("box", "a/b/x")
        assert not (box / "a" / "b").exists()
        assert keys(store) == ["a/y"]

    def test_puts_and_deletes_of_neighbours_do_not_disturb_each_other(
        self, store: LocalStore, box: Path, tmp_path: Path
    ) -> None:
        def churn(name: str) -> None:
            for _ in range(400):
                store.adopt(write(store.stage_name()), "box", f"deep/er/{name}")
                store.delete("box", f"deep/er/{name}")
            store.adopt(write(store.stage_name()), "box", f"deep/er/{name}")

        with ThreadPoolExecutor() as pool:
            list(pool.map(churn, "ab"))
        assert keys(store) == ["deep/er/a", "deep/er/b"]


class TestWalk:
    NAMES = st.text(alphabet="ab-/.0", min_size=1, max_size=8)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.sets(NAMES, max_size=12), NAMES | st.just(""), NAMES | st.just(""))
    def test_is_a_filter_of_the_sorted_keys(
        self, tmp_path_factory: pytest.TempPathFactory, names: set[str], prefix: str, after: str
    ) -> None:
        store = LocalStore(tmp_path_factory.mktemp("s3"))
        store.create_bucket("box", "")
        new = write(store.root / "new", "")
        stored = []
        for name in sorted(names):
            store.put("box", name, new)
            stored.append(name)
        found = [entry.key.decode() for entry in store.walk("box", prefix.encode(), after.encode())]
        expected = sorted(key.encode() for key in stored if key.startswith(prefix) and key > after)
        assert [key.encode() for key in found] == expected

    def test_shallow_gives_folders_in_place_of_what_they_hold(self, store: LocalStore, box: Path) -> None:
        for name in ("a/1", "a/b/2", "c", "d/e/f/3"):
            write(box / name)
        (box / "empty" / "er").mkdir(parents=True)
        found = [(entry.key, entry.status is None) for entry in store.walk("box", shallow=True)]
        assert found == [(b"a/", True), (b"c", False), (b"d/", True)]

    def test_a_name_that_is_no_utf_8_is_left_out(self, store: LocalStore, box: Path) -> None:
        write(box / "good")
        (Path(os.fsdecode(os.fsencode(box) + b"/\xff"))).touch()
        assert keys(store) == ["good"]


class TestBuckets:
    def test_one_that_holds_objects_stays(self, store: LocalStore, box: Path) -> None:
        write(box / "a" / "x")
        with pytest.raises(ServiceError) as caught:
            store.delete_bucket("box")
        assert caught.value.code == "BucketNotEmpty"
        assert keys(store) == ["a/x"]

    def test_one_that_holds_empty_folders_goes(self, store: LocalStore, box: Path) -> None:
        (box / "a" / "b").mkdir(parents=True)
        store.delete_bucket("box")
        assert not store.bucket_exists("box")

    def test_files_that_are_no_objects_are_not_thrown_away(self, store: LocalStore, box: Path) -> None:
        (box / "link").symlink_to("/nowhere")
        with pytest.raises(ServiceError, match="no objects"):
            store.delete_bucket("box")
        assert (box / "link").is_symlink()

    def test_creating_again_changes_nothing(self, store: LocalStore, box: Path) -> None:
        assert not store.create_bucket("box", "eu-west-1")
        assert store.region("box") == "us-east-1"


class TestSweeping:
    def test_nothing_that_is_staged_outlives_its_process(self, store: LocalStore) -> None:
        left = write(store.staging / "left"), write(store.staging / ".metadata-left")
        store.sweep()
        assert not any(path.exists() for path in left)

    def test_what_another_store_may_still_be_writing_stays_for_an_hour(self, store: LocalStore) -> None:
        other = LocalStore(store.root)
        fresh, old = write(other.stage_name()), write(other.stage_name())
        os.utime(old, (1, 1))
        store.sweep()
        assert (fresh.exists(), old.exists()) == (True, False)

    def test_copies_on_their_way_to_other_disks(
        self, store: LocalStore, box: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left, fresh = write(box / "a" / ".clary-part-left"), write(box / "a" / ".clary-part-fresh")
        write(box / "a" / "object")
        os.utime(left, (1, 1))
        monkeypatch.setattr(local, "_is_other_disk", lambda *_: True)
        store.sweep()
        assert (fresh.exists(), left.exists()) == (True, False)
        assert keys(store) == ["a/object"]

    def test_sidecars_that_belong_to_nothing(self, store: LocalStore, box: Path, tmp_path: Path) -> None:
        large = ObjectMetadata(headers={"cache-control": "x" * 5000})
        for key in ("kept", "gone", "other//kept", "other//gone"):
            staged = write(store.stage_name())
            store.metadata.write(staged, large)
            store.adopt(staged, "box", key)
        (box / "gone").unlink()
        store.locate("box", "other//gone")[0].unlink()
        sidecars = list((box / ".clary-keys").rglob("*!*"))
        assert len(sidecars) == 4
        for path in sidecars:
            os.utime(path, (1, 1))
        store.sweep()
        assert len(list((box / ".clary-keys").rglob("*!*"))) == 2
        for key in ("kept", "other//kept"):
            assert store.metadata.read(*store.locate("box", key)).headers == large.headers


def test_a_full_disk_leaves_the_old_object(
    store: LocalStore, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(box / "x", "old")
    monkeypatch.setattr(local, "clone", full)
    with pytest.raises(ServiceError) as caught:
        store.put("box", "x", write(tmp_path / "new"))
    assert caught.value.code == "StorageFull"
    assert (box / "x").read_text() == "old"
    assert list(store.staging.iterdir()) == []
