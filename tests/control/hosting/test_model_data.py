"""Model data in the folder of a worker: whole or not at all, and nothing outside of it."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clary.control.hosting.failure import StartFailed
from clary.control.hosting.model_data import place
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.vision.artifact.draft import Draft
from clary.vision.artifact.manifest import Manifest
from clary.vision.inference.predictor import load


@pytest.fixture
def objects(tmp_path):
    store = LocalStore(tmp_path / "s3")
    store.create_bucket("models", "us-east-1")
    return store


def put(objects: LocalStore, key: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    objects.put("models", key, path)


def archive(*members: tuple[str, bytes | None], mode: str = "w:gz") -> bytes:
    """A tar archive of files, and of folders where the content is None."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if content is not None else tarfile.DIRTYPE
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    return stream.getvalue()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "content",
    [
        archive(("manifest.json", b"{}"), ("a/b", b"1")),
        archive(("./", None), ("./manifest.json", b"{}"), ("./a/b", b"1")),
        archive(("", None), ("manifest.json", b"{}"), ("a", None), ("a/b", b"1")),  # as SDK v2 repacks
        archive(("manifest.json", b"{}"), ("a/b", b"1"), mode="w"),
    ],
)
def test_archives_as_clients_make_them(objects, tmp_path, content):
    put(objects, "m.tar.gz", content, tmp_path)
    place("s3://models/m.tar.gz", tmp_path / "v", objects, archive=True)
    assert files(tmp_path / "v") == {"manifest.json", "a/b"}


def test_an_archive_that_lies_on_this_machine(objects, tmp_path):
    (tmp_path / "m.tar.gz").write_bytes(archive(("manifest.json", b"{}")))
    files_too = WithMachineFiles(objects)
    place(f"file://{tmp_path}/m.tar.gz", tmp_path / "v", files_too, archive=True)
    assert files(tmp_path / "v") == {"manifest.json"}
    assert (tmp_path / "m.tar.gz").is_file()
    with pytest.raises(StartFailed, match=rf"Failed to download model data .*\(There is no file {tmp_path}/no\)"):
        place(f"file://{tmp_path}/no", tmp_path / "w", files_too, archive=True)


def test_a_prefix(objects, tmp_path):
    for key in ("m/manifest.json", "m/a/b", "mm/other"):
        put(objects, key, b"", tmp_path)
    for number, prefix in enumerate(("m", "m/")):
        place(f"s3://models/{prefix}", tmp_path / f"v{number}", objects, archive=False)
        assert files(tmp_path / f"v{number}") == {"manifest.json", "a/b"}


@pytest.mark.parametrize("key", ["m/a/b", "m/a/", "m//a", "m/../a", "m/" + "x" * 256, "m/a\0"])
def test_a_key_that_no_path_holds_is_named(objects, tmp_path, key):
    for each in ("m/manifest.json", "m/a", key):
        put(objects, each, b"1", tmp_path)
    with pytest.raises(StartFailed, match=re.escape(f"the key {key!a}")):
        place("s3://models/m", tmp_path / "e" / "v", objects, archive=False)
    assert list((tmp_path / "e").iterdir()) == []


def test_what_is_there_is_kept(objects, tmp_path):
    (tmp_path / "v").mkdir()
    place("s3://models/none.tar.gz", tmp_path / "v", objects, archive=True)
    assert files(tmp_path / "v") == set()


def link() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    return stream.getvalue()


def bomb() -> bytes:
    info = tarfile.TarInfo("zeros")
    info.size = 3 << 30
    return gzip.compress(info.tobuf() + bytes(1 << 20))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(), "unpacks to more than 268,435,456 bytes"),
        (archive(("a", b"1")), "holds no manifest.json"),
        (archive(("manifest.json", b"{}"))[:-20], "damaged or cut off"),
        (b"<html>", "is not a tar archive or is damaged"),
        (b"", "is not a tar archive or is damaged"),
        (archive(("../manifest.json", b"{}")), "unsafe name"),
        (archive(("/manifest.json", b"{}")), "unsafe name"),
        (link(), "is a link"),
    ],
)
def test_nothing_is_left_of_what_cannot_be_used(objects, tmp_path, content, reason):
    put(objects, "m.tar.gz", content, tmp_path)
    with pytest.raises(StartFailed, match=reason) as error:
        place("s3://models/m.tar.gz", tmp_path / "e" / "v", objects, archive=True)
    assert "s3://models/m.tar.gz" in str(error.value)
    assert list((tmp_path / "e").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "archive", "reason"),
    [
        ("s3://models/none.tar.gz", True, "Failed to download model data for container"),
        ("s3://nowhere/m.tar.gz", True, "The specified bucket does not exist: nowhere"),
        ("s3://models/none/", False, "Please ensure that there is an object located at the URL"),
        ("s3://nowhere/m/", False, "The specified bucket does not exist: nowhere"),
        ("https://models/m.tar.gz", True, "is no S3 URI"),
    ],
)
def test_what_is_not_there(objects, tmp_path, data, archive, reason):
    with pytest.raises(StartFailed, match=reason):
        place(data, tmp_path / "e" / "v", objects, archive=archive)
    assert list((tmp_path / "e").iterdir()) == []


def test_a_folder_that_cannot_be_written(objects, tmp_path):
    put(objects, "m.tar.gz", archive(("manifest.json", b"{}")), tmp_path)
    (tmp_path / "e").write_text("a file")
    with pytest.raises(StartFailed, match="cannot be written"):
        place("s3://models/m.tar.gz", tmp_path / "e" / "v", objects, archive=True)


def test_a_stored_archive_is_not_touched(objects, tmp_path):
    content = archive(("manifest.json", b"{}"))
    put(objects, "m.tar.gz", content, tmp_path)
    place("s3://models/m.tar.gz", tmp_path / "v", objects, archive=True)
    (tmp_path / "v" / "manifest.json").write_text("changed")
    with objects.open("models", "m.tar.gz") as file:
        assert file.read() == content


@pytest.mark.slow
def test_what_a_stopped_job_left_is_finished(objects, tmp_path, model_folder):
    """The weights of its best epoch, and no graph: there was no time for it."""
    from safetensors.torch import load_file

    state = load_file(model_folder / "model.safetensors")
    own = {name.removeprefix("classifier."): value for name, value in state.items()}
    manifest = replace(Manifest.read(model_folder / "manifest.json"), engines={}, files={})
    examples = np.zeros((4, 48, 64, 3), np.uint8)
    draft = Draft.encode(own, "classifier", manifest, examples)
    put(objects, "m.tar.gz", archive(("image-classification-0003.params", draft)), tmp_path)
    place("s3://models/m.tar.gz", tmp_path / "v", objects, archive=True)
    assert files(tmp_path / "v") == {"manifest.json", "model.onnx", "model.safetensors"}
    with load(tmp_path / "v") as model:
        assert model.labels == ("cat", "dog", "fox")


def test_weights_of_another_kind_are_no_model(objects, tmp_path):
    put(objects, "m.tar.gz", archive(("image-classification-0003.params", b"MXNet")), tmp_path)
    with pytest.raises(StartFailed, match=r"holds no manifest\.json"):
        place("s3://models/m.tar.gz", tmp_path / "v", objects, archive=True)
