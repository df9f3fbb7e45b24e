from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from clary.control.objects.object_metadata import MetadataStore, ObjectMetadata

FACTS = ObjectMetadata(etag="0" * 32, headers={"content-type": "image/jpeg", "x-amz-meta-a": "b"})


@pytest.fixture(params=["attributes", "memory"])
def keeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MetadataStore:
    """With a disk that has extended attributes, and with one that has none."""
    if request.param == "memory":

        def unsupported(*_: object) -> None:
            raise OSError(errno.ENOTSUP, "not supported")

        for name in ("setxattr", "getxattr", "removexattr"):
            monkeypatch.setattr(os, name, unsupported, raising=False)
    return MetadataStore()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("content")
    return path


def test_come_back(keeper: MetadataStore, file: Path) -> None:
    keeper.write(file, FACTS)
    assert keeper.read(file, file.stat()) == FACTS


def test_move_with_the_file(keeper: MetadataStore, file: Path) -> None:
    keeper.write(file, FACTS)
    moved = file.rename(file.with_name("moved"))
    assert keeper.read(moved, moved.stat()) == FACTS


def test_the_etag_ends_with_the_content_it_was_of(keeper: MetadataStore, file: Path) -> None:
    keeper.write(file, FACTS)
    file.write_text("other content")
    metadata = keeper.read(file, file.stat())
    assert metadata.etag != FACTS.etag
    assert metadata.headers == FACTS.headers


def test_can_be_forgotten(keeper: MetadataStore, file: Path) -> None:
    keeper.write(file, FACTS)
    keeper.forget(file)
    keeper.forget(file)
    assert keeper.read(file, file.stat()).headers == {}


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
    assert MetadataStore().read(file, file.stat()).headers == {}
