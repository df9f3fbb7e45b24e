"""What every object store promises: the folder, and S3 servers through the network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clary.control.objects.base import NoSuchBucket, NoSuchKey, ObjectStore
from clary.control.objects.local import LocalStore
from clary.control.objects.remote import RemoteStore
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.control.objects.s3_app import S3App

KEYS = ["a b", "a+b=c", "a-1", "a.txt", "a/0", "a/b/c", "a0", "q?x#y&z%41", "ümlaut/日本"]

NO_PATHS = [
    "a",
    "a/",
    "a/b",
    "a//b",
    "/",
    "/a",
    ".",
    "../x",
    "a/./b",
    "x" * 256,
    "é" * 512,
    "\x01",
    "a\nb",
    "%2F",
    "a%2Fb",
]


@pytest.fixture(params=["folder", "front", "rclone"])
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, serving: Callable[..., Any], rclone: Callable[..., Any]
) -> Iterator[ObjectStore]:
    """A store with the buckets ``box`` and ``empty``."""
    root = tmp_path / "s3"
    local = LocalStore(root)
    for name in ("box", "empty"):
        local.create_bucket(name, "us-east-1")
    if request.param == "folder":
        yield local
    elif request.param == "front":
        with serving(S3App(local, account="000000000000", region="us-east-1")) as url:
            yield RemoteStore(RemoteEndpoint(url, "us-east-1", "x", "y"))
    else:
        with rclone(root) as url:
            yield RemoteStore(RemoteEndpoint(url, "us-east-1", "key", "secret"))


@pytest.fixture
def put(objects: ObjectStore, tmp_path: Path) -> Callable[..., None]:
    def put(key: str, data: bytes = b"content", bucket: str = "box") -> None:
        path = tmp_path / "source"
        path.write_bytes(data)
        objects.put(bucket, key, path)

    return put


class TestEveryStore:
    def test_gives_back_what_was_put(self, objects: ObjectStore, put: Callable[..., None], tmp_path: Path) -> None:
        data = os.urandom(200_000)
        put("deep/er/file.bin", data)
        objects.fetch("box", "deep/er/file.bin", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
        with objects.open("box", "deep/er/file.bin") as stream:
            assert stream.read(10) == data[:10]
            assert stream.read() == data[10:]

    def test_keeps_every_key_apart_and_in_byte_order(self, objects: ObjectStore, put: Callable[..., None]) -> None:
        for key in reversed(KEYS):
            put(key, key.encode())
        found = list(objects.list("box"))
        assert [each.key for each in found] == sorted(KEYS, key=str.encode)
        assert {each.size for each in found} == {len(key.encode()) for key in KEYS}
        assert all(abs(each.modified - time.time()) < 60 for each in found)
        for key in KEYS:
            with objects.open("box", key) as stream:
                assert stream.read().decode() == key

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [("a/", ["a/0", "a/b/c"]), ("a/b", ["a/b/c"]), ("ü", ["ümlaut/日本"]), ("a.txt", ["a.txt"]), ("no", [])],
    )
    def test_lists_by_any_prefix(
        self, objects: ObjectStore, put: Callable[..., None], prefix: str, expected: list[str]
    ) -> None:
        for key in KEYS:
            put(key)
        assert [each.key for each in objects.list("box", prefix)] == expected

    def test_keeps_keys_that_are_no_paths(
        self, objects: ObjectStore, put: Callable[..., None], request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        if "rclone" in request.node.name:
            pytest.skip("rclone's own folder keeps plain paths only")
        for key in NO_PATHS:
            put(key, key.encode())
        found = list(objects.list("box"))
        assert [each.key for each in found] == sorted(NO_PATHS, key=str.encode)
        assert {each.key: each.size for each in found} == {key: len(key.encode()) for key in NO_PATHS}
        assert [each.key for each in objects.list("box", "a/")] == sorted(k for k in NO_PATHS if k.startswith("a/"))
        for key in NO_PATHS:
            objects.fetch("box", key, tmp_path / "copy")
            assert (tmp_path / "copy").read_bytes() == key.encode()
            objects.delete("box", key)
        assert list(objects.list("box")) == []

    def test_replaces(self, objects: ObjectStore, put: Callable[..., None], tmp_path: Path) -> None:
        put("x", b"old")
        objects.fetch("box", "x", tmp_path / "held")
        put("x", b"newer")
        objects.fetch("box", "x", tmp_path / "fresh")
        assert ((tmp_path / "held").read_bytes(), (tmp_path / "fresh").read_bytes()) == (b"old", b"newer")

    def test_fetch_replaces_the_file_that_is_there(
        self, objects: ObjectStore, put: Callable[..., None], tmp_path: Path
    ) -> None:
        put("x", b"new")
        (tmp_path / "there").write_bytes(b"before")
        objects.fetch("box", "x", tmp_path / "there")
        assert (tmp_path / "there").read_bytes() == b"new"
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} <= {"there", "source", "rclone.log"}

    def test_deletes(self, objects: ObjectStore, put: Callable[..., None]) -> None:
        put("a/b/x")
        objects.delete("box", "a/b/x")
        objects.delete("box", "a/b/x")
        assert list(objects.list("box")) == []

    def test_an_empty_object_is_one(self, objects: ObjectStore, put: Callable[..., None], tmp_path: Path) -> None:
        put("nothing", b"")
        objects.fetch("box", "nothing", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b""
        assert [each.size for each in objects.list("box")] == [0]

    def test_knows_its_buckets(self, objects: ObjectStore) -> None:
        assert objects.bucket_exists("empty")
        assert not objects.bucket_exists("absent")
        assert list(objects.list("empty")) == []

    def test_names_the_key_that_is_not_there(self, objects: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(NoSuchKey, match="s3://box/no/such"):
            objects.open("box", "no/such")
        with pytest.raises(NoSuchKey, match="s3://box/no/such"):
            objects.fetch("box", "no/such", tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_names_the_bucket_that_is_not_there(
        self, objects: ObjectStore, put: Callable[..., None], tmp_path: Path
    ) -> None:
        with pytest.raises(NoSuchBucket, match="absent"):
            objects.open("absent", "x")
        with pytest.raises(NoSuchBucket, match="absent"):
            list(objects.list("absent"))
        with pytest.raises(NoSuchBucket, match="absent"):
            put("x", bucket="absent")

    def test_large_objects_arrive_whole(self, objects: ObjectStore, put: Callable[..., None], tmp_path: Path) -> None:
        data = os.urandom(1 << 20) * 20
        put("large", data)
        objects.fetch("box", "large", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
