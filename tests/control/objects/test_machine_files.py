"""Files of this machine in the place of objects: where they lie, and never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clary.control.objects.base import NoSuchBucket, NoSuchKey, S3Uri
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import MACHINE, FileUri, WithMachineFiles, place_of
from clary.control.wire.errors import ServiceError, ValidationException
from clary.errors import CustomerError


@pytest.fixture
def store(tmp_path: Path) -> WithMachineFiles:
    objects = LocalStore(tmp_path / "s3")
    objects.create_bucket("bucket", "us-east-1")
    return WithMachineFiles(objects)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """data/train/{cat/1.jpg,dog/2.jpg,list}"""
    for name in ("cat/1.jpg", "dog/2.jpg", "list"):
        path = tmp_path / "data" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "data" / "train"


def key(path: Path) -> str:
    return str(path).lstrip("/")


def listed(store: WithMachineFiles, path: Path) -> list[str]:
    return [one.key for one in store.list(MACHINE, key(path))]


def test_a_uri_is_an_absolute_path():
    uri = place_of("file:///data/a b//c/../d")
    assert (uri, str(uri)) == (FileUri(MACHINE, "data/a b/d"), "file:///data/a b/d")
    assert str(uri.join("model.tar.gz")) == "file:///data/a b/d/model.tar.gz"
    assert place_of("s3://bucket/key") == S3Uri("bucket", "key")
    for text in ("file://data", "file:///", "file:////..", "file:///a\0b", "file:/data"):
        with pytest.raises(ValidationException):
            place_of(text)


def test_the_folder_itself_may_be_named_by_a_link(folder, tmp_path):
    (tmp_path / "mine").symlink_to(folder)
    assert place_of(f"file://{tmp_path}/mine") == FileUri(MACHINE, key(folder))


def test_a_folder_holds_its_files_and_a_file_itself(store, folder):
    assert listed(store, folder) == [key(folder / name) for name in ("cat/1.jpg", "dog/2.jpg", "list")]
    assert listed(store, folder / "list") == [key(folder / "list")]
    assert listed(store, folder / "no") == listed(store, folder / "no" / "such") == []
    # A prefix of S3 may end within a name; a path does not.
    assert listed(store, folder.with_name("tra")) == []


@pytest.mark.parametrize("where", ["cat/link", "link"])
@pytest.mark.parametrize("to", ["file", "folder"])
def test_a_link_is_named_and_not_followed(store, folder, tmp_path, where, to):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    link = folder / where
    link.symlink_to(tmp_path / "secret" / ("key" if to == "file" else ""))
    for act in (
        lambda: listed(store, folder),
        lambda: listed(store, link),
        lambda: store.open(MACHINE, key(link)),
        lambda: store.fetch(MACHINE, key(link), tmp_path / "fetched"),
        lambda: (
            store.fetch(MACHINE, key(link / "key"), tmp_path / "fetched") if to == "folder" else listed(store, link)
        ),
        lambda: (
            store.put(MACHINE, key(link / "deep" / "new"), folder / "list") if to == "folder" else listed(store, link)
        ),
    ):
        with pytest.raises(CustomerError, match=rf"/{where}: is a symbolic link.*; links are not followed"):
            act()
    assert not (tmp_path / "fetched").exists()
    assert os.listdir(tmp_path / "secret") == ["key"]


def test_a_fifo_is_not_waited_for(store, folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(CustomerError, match="/pipe: is a FIFO"):
        listed(store, folder)


def test_a_file_is_fetched_by_a_link_to_it_or_as_a_copy(store, folder, tmp_path, monkeypatch):
    store.fetch(MACHINE, key(folder / "list"), tmp_path / "linked")
    assert (tmp_path / "linked").samefile(folder / "list")

    def refuse(*names, **options):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    store.fetch(MACHINE, key(folder / "list"), tmp_path / "copied")
    assert not (tmp_path / "copied").samefile(folder / "list")
    assert (tmp_path / "copied").read_bytes() == b"list"
    with store.open(MACHINE, key(folder / "list")) as file:
        assert file.read() == b"list"
    for act in (
        lambda: store.fetch(MACHINE, key(folder / "no"), tmp_path / "no"),
        lambda: store.open(MACHINE, "no/no"),
    ):
        with pytest.raises(NoSuchKey, match="There is no file /"):
            act()


def test_results_replace_what_is_there_in_one_step(store, folder, tmp_path):
    target = tmp_path / "out" / "deep" / "model.tar.gz"
    store.check_put(MACHINE, key(target))
    for name in ("list", "cat/1.jpg"):
        store.put(MACHINE, key(target), folder / name)
        assert target.read_bytes() == name.encode()
    assert os.listdir(target.parent) == ["model.tar.gz"]
    store.delete(MACHINE, key(target))
    assert os.listdir(target.parent) == []


def test_a_place_where_nothing_can_be_put(store, folder):
    with pytest.raises(ServiceError, match="Access Denied: the folder"):
        store.check_put(MACHINE, key(folder / "list" / "model.tar.gz"))


def test_a_failed_put_leaves_nothing(store, folder, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()

    def refuse(*names, **options):
        raise OSError("full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="full"):
        store.put(MACHINE, key(tmp_path / "out" / "model"), folder / "list")
    assert os.listdir(tmp_path / "out") == []


def test_buckets_are_those_of_the_store(store, folder, tmp_path):
    store.put("bucket", "a", folder / "list")
    assert [one.key for one in store.list("bucket")] == ["a"]
    assert store.bucket_exists("bucket")
    assert not store.bucket_exists("nowhere")
    with pytest.raises(NoSuchBucket):
        store.check_put("nowhere", "a")
    store.delete("bucket", "a")
    assert not list(store.list("bucket"))
