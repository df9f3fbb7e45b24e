"""A backup is a whole home, made while another works on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clary.control import backup
from clary.control.backup import back_up, restore
from clary.control.home import hold
from clary.control.jobs.folders import job_folder
from clary.control.jobs.kinds import KINDS
from clary.control.jobs.kinds.training import status
from clary.control.logs.streams import LogStore
from clary.control.objects.cloning import clone_open
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.settings import Settings
from clary.control.store.records import PART, Store
from clary.errors import UsageError

KINDS_BY_NAME = {kind.name: kind for kind in KINDS}
KEYS = ["a/b", "a", "plain/cat.jpg", "ümlaut/日本"]  # the first two need the folder of encoded keys


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A home that a gateway holds, with objects, a job that has ended and one that runs, logs and a link."""
    settings = Settings(home=tmp_path / "home")
    with hold(settings.home):
        objects, store = LocalStore(settings.s3_root), Store(settings.database)
        objects.create_bucket("bucket", "eu-west-1")
        for key in KEYS:
            _put(objects, key, key.encode())
        objects.mark_folder("bucket", "folder/", ObjectMetadata(marker=True))
        for name, secondary in (("done", "Completed"), ("runs", "Training")):
            body = status.advance({"TrainingJobName": name, "CreationTime": 5.0, "_phase": "x"}, secondary, now=6.0)
            store.create("training-job", name, arn=f"arn:{name}", body=body, status=body["TrainingJobStatus"])
            folder = job_folder(settings, "training-job", name)
            folder.mkdir(parents=True)
            (folder / "exit.json").write_text("{}")
        (settings.jobs_root / "done" / "link").symlink_to("/etc")
        os.mkfifo(settings.jobs_root / "done" / "pipe")
        store.create("part", "p", arn="arn:p", body={}, part_of=["arn:done"], tags={"a": "b"})
        writer = LogStore(settings.logs_root).writer("/aws/sagemaker/TrainingJobs", "done/algo-1-5")
        writer.write("a line")
        writer.close()
        (settings.home / "environments" / "key").mkdir(parents=True)
        (settings.home / "clary.toml").write_text("")
        yield settings
        store.close()


def _put(objects: LocalStore, key: str, content: bytes) -> None:
    staged = objects.stage_name()
    staged.write_bytes(content)
    objects.metadata.write(staged, ObjectMetadata(etag="abc", headers={"content-type": "image/jpeg"}))
    objects.adopt(staged, "bucket", key)


def _objects(settings: Settings) -> dict[str, Any]:
    objects = LocalStore(settings.s3_root)
    found = {one.key: objects.facts("bucket", one.key) for one in objects.list("bucket")}
    return {key: (held.st_size, held.st_mtime_ns, metadata) for key, (held, metadata) in found.items()}


def test_there_and_back(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    restore(tmp_path / "backup", tmp_path / "again")
    again = Settings(home=tmp_path / "again")
    assert _objects(again) == _objects(settings)
    assert sorted(_objects(again)) == sorted([*KEYS, "folder/"])
    assert LocalStore(again.s3_root).region("bucket") == "eu-west-1"
    store = Store(again.database)
    assert (store.get("part", "p"), store.tags("arn:p")) != (None, {})
    assert [one.destination for one in store.links(source="arn:p", kind=PART)] == ["arn:done"]
    store.close()
    events = LogStore(again.logs_root).events("/aws/sagemaker/TrainingJobs", "done/algo-1-5", 0, 10)
    assert [event.message for event in events] == ["a line"]
    assert sorted(path.name for path in (again.jobs_root / "done").iterdir()) == ["exit.json"]
    assert again.home.stat().st_mode & 0o777 == 0o700
    assert not (again.home / "environments").exists()
    with hold(again.home):  # a gateway can start on it
        pass


def test_a_job_that_runs_is_failed_in_the_copy_alone(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    copied, store = Store(Settings(home=tmp_path / "backup").database), Store(settings.database)
    body = copied.get("training-job", "runs").body  # type: ignore[union-attr]
    assert (body["TrainingJobStatus"], body["FailureReason"]) == ("Failed", backup._REASON)
    assert store.get("training-job", "runs").status == "InProgress"  # type: ignore[union-attr]
    assert not (tmp_path / "backup" / "jobs" / "runs").exists()
    for one in (copied, store):
        one.close()


def test_what_is_stored_meanwhile_is_there_before_the_store_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job ends while the objects are copied: its record says Completed, so its model must have been copied too."""
    copy_store = backup._copy_store

    def later(source: Path, target: Path) -> None:
        _put(LocalStore(settings.s3_root), "runs/output/model.tar.gz", b"model")
        store = Store(settings.database)
        store.edit("training-job", "runs", lambda found: (status.advance(found.body, "Completed"), "Completed"))
        store.close()
        copy_store(source, target)

    monkeypatch.setattr(backup, "_copy_store", later)
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    copied = Settings(home=tmp_path / "backup")
    assert "runs/output/model.tar.gz" in _objects(copied)
    store = Store(copied.database)
    assert store.get("training-job", "runs").status == "Completed"  # type: ignore[union-attr]
    store.close()


def test_it_is_whole_or_not_there(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_copy_store", broken)
    with pytest.raises(UsageError):
        back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_what_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="not empty"):
        back_up(settings, tmp_path / "full", KINDS_BY_NAME)
    with pytest.raises(UsageError, match=r"there is no clary\.db.*--home"):
        back_up(Settings(home=tmp_path / "none"), tmp_path / "backup", KINDS_BY_NAME)
    with pytest.raises(UsageError, match="is no backup of a home"):
        restore(tmp_path / "full", tmp_path / "again")
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    with pytest.raises(UsageError, match="not empty"):
        restore(tmp_path / "backup", settings.home)


def test_neither_lies_in_the_other(settings: Settings, tmp_path: Path) -> None:
    """The copy would be copied into the copy, until names are too long."""
    for inside in (settings.s3_root / "bucket" / "backup", settings.jobs_root / "backup", settings.home / "backup"):
        with pytest.raises(UsageError, match="lies in the home itself"):
            back_up(settings, inside, KINDS_BY_NAME)
        assert not inside.exists()
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    with pytest.raises(UsageError, match="lies in the backup itself"):
        restore(tmp_path / "backup", tmp_path / "backup" / "again")
    assert not (tmp_path / "backup" / "again").exists()


def test_an_object_that_is_written_while_it_is_copied(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attributes, ETag and time among them, are those of the bytes that were copied."""
    objects = LocalStore(settings.s3_root)
    written: list[Path] = []

    def slow(source: int, target: Path) -> None:
        clone_open(source, target)
        if target.name == "cat.jpg" and len(written) < 2:
            written.append(target)
            staged = objects.stage_name()
            staged.write_bytes(b"%d" % len(written) * len("plain/cat.jpg"))
            objects.metadata.write(staged, ObjectMetadata(etag=f"new{len(written)}"))
            objects.adopt(staged, "bucket", "plain/cat.jpg")

    monkeypatch.setattr(backup, "clone_open", slow)
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    copied = LocalStore(Settings(home=tmp_path / "backup").s3_root)
    _, metadata = copied.facts("bucket", "plain/cat.jpg")
    content = (tmp_path / "backup" / "s3" / "bucket" / "plain" / "cat.jpg").read_bytes()
    assert (metadata.etag, content) == ("new1", b"1" * len("plain/cat.jpg"))


def test_an_object_that_becomes_another_meanwhile(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_store, objects = backup._copy_store, LocalStore(settings.s3_root)

    def later(source: Path, target: Path) -> None:
        for key in ("plain/cat.jpg", "ümlaut/日本"):
            objects.delete("bucket", key)
        _put(objects, "plain", b"a file where a folder was")
        _put(objects, "ümlaut/日本/inside", b"a folder where a file was")
        _put(objects, "a", b"other bytes")
        copy_store(source, target)

    monkeypatch.setattr(backup, "_copy_store", later)
    back_up(settings, tmp_path / "backup", KINDS_BY_NAME)
    found = _objects(Settings(home=tmp_path / "backup"))
    assert {key: found[key] for key in ("plain", "ümlaut/日本/inside", "a")} == {
        key: value for key, value in _objects(settings).items() if key in ("plain", "ümlaut/日本/inside", "a")
    }
