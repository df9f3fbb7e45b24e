"""Metadata of files, on disks that know extended attributes and on disks that do not."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import MetadataStore, ObjectMetadata
from clary.control.objects.s3_app import S3App

from .s3_calls import Calls

FACTS = ObjectMetadata(etag="0" * 32, headers={"content-type": "image/jpeg", "x-amz-meta-a": "b"})
LARGE = ObjectMetadata(etag="1" * 32, headers={"cache-control": "x" * 900_000})  # as much as 10,000 parts with sums


def _without_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    for name in ("setxattr", "getxattr", "removexattr"):
        monkeypatch.setattr(os, name, unsupported, raising=False)


@pytest.fixture(params=["attributes", "sidecars"])
def keeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MetadataStore:
    """With a disk that has extended attributes, and with one that has none."""
    if request.param == "sidecars":
        _without_attributes(monkeypatch)
    return MetadataStore(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "box" / "file"
    path.parent.mkdir()
    path.write_text("content")
    return path


def test_come_back(keeper: MetadataStore, file: Path) -> None:
    keeper.write(file, FACTS)
    assert keeper.read(file, file.stat()) == FACTS


def test_the_etag_ends_with_the_content_it_was_of(keeper: MetadataStore, file: Path) -> None:
    keeper.write(file, FACTS)
    file.write_text("other content")
    assert keeper.read(file, file.stat()).etag != FACTS.etag


@pytest.mark.parametrize("metadata", [FACTS, LARGE])
def test_of_any_size_come_back_to_the_next_process(keeper: MetadataStore, file: Path, metadata: ObjectMetadata) -> None:
    for each in (FACTS, LARGE, metadata):
        keeper.write(file, each)
        assert MetadataStore(file.parents[1]).read(file, file.stat()) == each


def test_a_bucket_keeps_its_own(keeper: MetadataStore, file: Path) -> None:
    created = ObjectMetadata(region="eu-west-1", created=1.5)
    keeper.write(file.parent, created)
    status = file.parent.stat()
    assert MetadataStore(file.parents[1]).read(file.parent, status).region == "eu-west-1"


def test_a_record_of_before_is_read(file: Path) -> None:
    status = file.stat()
    record = {"size": status.st_size, "mtime": status.st_mtime_ns, "etag": "a" * 32, "headers": {"content-type": "a/b"}}
    try:
        os.setxattr(file, "user.clary.object", json.dumps(record).encode())
    except OSError:
        pytest.skip("this disk keeps no attributes")
    assert MetadataStore(file.parents[1]).read(file, status) == ObjectMetadata("a" * 32, {"content-type": "a/b"})


def test_a_record_of_later_is_read_as_far_as_it_is_known(file: Path) -> None:
    status = file.stat()
    record = {"schema": 99, "size": status.st_size, "mtime": status.st_mtime_ns, "etag": "a" * 32, "unknown": [1]}
    try:
        os.setxattr(file, "user.clary.object", json.dumps(record).encode())
    except OSError:
        pytest.skip("this disk keeps no attributes")
    assert MetadataStore(file.parents[1]).read(file, status) == ObjectMetadata("a" * 32)


def test_a_file_from_elsewhere_has_an_etag_that_is_no_md5(keeper: MetadataStore, file: Path) -> None:
    first = keeper.read(file, file.stat()).etag
    assert first.endswith("-1")
    assert keeper.read(file, file.stat()).etag == first
    file.write_text("other content")
    assert keeper.read(file, file.stat()).etag != first


def test_an_attribute_nobody_can_read_is_none(file: Path) -> None:
    try:
        os.setxattr(file, "user.clary.object", b"\xff not json")
    except OSError:
        pytest.skip("this disk keeps no attributes")
    assert MetadataStore(file.parents[1]).read(file, file.stat()).headers == {}


class TestObjects:
    """Through the whole store, which is opened anew before it is asked."""

    @pytest.fixture(params=["attributes", "sidecars"])
    def opened(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Iterator[Callable[[], Calls]]:
        if request.param == "sidecars":
            _without_attributes(monkeypatch)
        all_calls = []

        def open_() -> Calls:
            app = S3App(LocalStore(tmp_path / "s3"), account="000000000000", region="us-east-1")
            all_calls.append(Calls(app))
            return all_calls[-1]

        LocalStore(tmp_path / "s3").create_bucket("box", "eu-west-1")
        yield open_
        for each in all_calls:
            each.close()

    @pytest.mark.parametrize("key", ["a", "a/b", "a//b", "a/"])
    @pytest.mark.parametrize("size", [3, 5000])
    def test_nothing_of_an_object_is_lost(self, opened: Callable[[], Calls], key: str, size: int) -> None:
        headers = {"content_type": "image/png", "cache_control": "x" * size, "x_amz_meta_a": "b" * 2000}
        put = opened().put(key, b"1", **headers)
        opened().copy(key, "copy")
        opened().upload("upload", b"1", **headers)
        for each in (key, "copy", "upload"):
            answer = opened()("HEAD", each)
            got = {name: answer.headers[name.replace("_", "-")] for name in headers}
            assert got == headers
        assert opened()("HEAD", key).etag == opened()("HEAD", "copy").etag == put.etag
        assert opened().page().objects[key] == put.etag

    def test_a_new_version_has_its_own(self, opened: Callable[[], Calls], tmp_path: Path) -> None:
        calls = opened()
        calls.put("a", b"1", cache_control="x" * 5000, content_type="a/b")
        calls.put("a", b"2")
        headers = opened()("HEAD", "a").headers
        assert ("cache-control" in headers, headers["content-type"]) == (False, "binary/octet-stream")
        calls("DELETE", "a")
        assert {path.name for path in (tmp_path / "s3" / "box").rglob("*") if path.is_file()} <= {"!bucket"}
        (tmp_path / "s3" / "box" / "a").write_bytes(b"1")
        assert "cache-control" not in opened()("HEAD", "a").headers

    def test_a_folder_that_was_asked_for(self, opened: Callable[[], Calls]) -> None:
        opened().put("a/", cache_control="x" * 5000)
        assert opened().page().order == ["a/"]
        assert opened()("HEAD", "a/").headers["cache-control"] == "x" * 5000
        opened().put("a/")
        assert "cache-control" not in opened()("HEAD", "a/").headers
        opened()("DELETE", "a/")
        assert opened().page().order == []

    @pytest.mark.parametrize("key", ["a", "a//b", "a/"])
    def test_tags_that_come_later(self, opened: Callable[[], Calls], key: str) -> None:
        etag = opened().put(key, cache_control="x" * 3000).etag
        tag = "<Tag><Key>{}</Key><Value>" + "v" * 200 + "</Value></Tag>"
        tags = "".join(tag.format(f"{n:0120}") for n in range(10))
        document = f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()
        assert opened()("PUT", key, document, {"tagging": ""}).status == 200
        assert opened()("GET", key, b"", {"tagging": ""}).body.count(b"<Tag>") == 10
        headers = opened()("HEAD", key).headers
        assert (headers["cache-control"], headers["etag"].strip('"')) == ("x" * 3000, etag)
        assert opened()("DELETE", key, b"", {"tagging": ""}).status == 204
        assert opened()("GET", key, b"", {"tagging": ""}).body.count(b"<Tag>") == 0
        assert opened().page().objects == {key: etag}

    def test_a_bucket_on_another_disk(
        self, opened: Callable[[], Calls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.replace

        def replace_(source: Path, target: Path) -> None:
            if Path(source).parent != Path(target).parent:
                raise OSError(errno.EXDEV, "another disk")
            real(source, target)

        monkeypatch.setattr(os, "replace", replace_)
        for key in ("a", "a/b"):
            opened().put(key, b"1", cache_control="x" * 5000)
            assert opened()("HEAD", key).headers["cache-control"] == "x" * 5000
        assert not list((tmp_path / "s3").rglob(".clary-part-*"))
        for key in ("a", "a/b"):
            opened()("DELETE", key)
        assert {path.name for path in (tmp_path / "s3" / "box").rglob("*") if path.is_file()} <= {"!bucket"}

    def test_no_room_for_them_is_no_object(
        self, opened: Callable[[], Calls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        calls = opened()
        calls.put("a", b"old")
        monkeypatch.setattr(Path, "write_bytes", full)
        assert calls.put("a", b"new", cache_control="x" * 5000).status == 507
        assert calls("GET", "a").body == b"old"
        assert list((tmp_path / "s3" / ".staging").iterdir()) == []
