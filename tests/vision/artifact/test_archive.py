"""Packing models, and opening what comes from strangers."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import ArtifactError, CustomerError, UsageError
from clary.vision.artifact.archive import LIMITS, entry, open_model, pack, unpack
from clary.vision.artifact.manifest import Input, Manifest, Provenance
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.tarsafe import Limits

MANIFEST = Manifest(
    task="classification",
    algorithm="image-classification",
    labels=("cat", "dog"),
    network={"architecture": "timm:resnet18"},
    input=Input(Preprocess(8, 8)),
    provenance=Provenance("0.1.0", "2026-01-01T00:00:00Z"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder whose graph is three bytes."""
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"abc")
    (folder / "code" / "inference.py").write_text("pass\n")
    files = {"model.onnx": entry(folder / "model.onnx")}
    (folder / "manifest.json").write_text(replace(MANIFEST, files=files).to_json())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive_of(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """A tar.gz of (name, type, content) in this order."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
            tar.addfile(info, io.BytesIO(data))
    return path


class TestPacking:
    def test_what_is_packed_is_unpacked(self, folder, tmp_path):
        unpack(pack(folder, tmp_path / "m.tar.gz"), tmp_path / "out")
        assert contents(tmp_path / "out") == contents(folder)

    def test_the_same_files_give_the_same_bytes(self, folder, tmp_path):
        first = pack(folder, tmp_path / "1.tar.gz").read_bytes()
        for path in folder.rglob("*"):
            os.utime(path, (1, 1))
        (folder / "manifest.json").chmod(0o600)
        assert pack(folder, tmp_path / "2.tar.gz").read_bytes() == first

    def test_it_is_flat_and_other_programs_read_it(self, folder, tmp_path):
        with tarfile.open(pack(folder, tmp_path / "m.tar.gz"), "r:gz") as tar:
            members = tar.getmembers()
        assert [m.name for m in members] == ["code", "code/inference.py", "manifest.json", "model.onnx"]
        assert {(m.uid, m.gid, m.mtime, m.uname) for m in members} == {(0, 0, 0, "")}

    def test_links_are_refused_and_nothing_is_written(self, folder, tmp_path):
        (folder / "link").symlink_to("/etc/passwd")
        with pytest.raises(CustomerError, match="link: is a symbolic link"):
            pack(folder, tmp_path / "out" / "m.tar.gz")
        assert list((tmp_path / "out").iterdir()) == []

    def test_an_archive_is_replaced_whole(self, folder, tmp_path):
        (tmp_path / "m.tar.gz").write_bytes(b"old")
        pack(folder, tmp_path / "m.tar.gz")
        assert open_model(tmp_path / "m.tar.gz").manifest.labels == ("cat", "dog")


class TestUnpacking:
    def test_forms_that_others_write(self, tmp_path):
        """A root without a name (SageMaker's SDK, repacking), ``./`` before every name (tar czf x .), folders."""
        members = [("/", tarfile.DIRTYPE, b""), ("./", tarfile.DIRTYPE, b""), ("./a", tarfile.REGTYPE, b"1")]
        members += [("code", tarfile.DIRTYPE, b""), ("code/lib/b.py", tarfile.REGTYPE, b"2")]
        unpack(archive_of(tmp_path / "m.tar.gz", *members), tmp_path / "out")
        assert contents(tmp_path / "out") == {"a": b"1", "code/lib/b.py": b"2"}

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("/etc/evil", tarfile.REGTYPE),
            ("../evil", tarfile.REGTYPE),
            ("a/../../evil", tarfile.REGTYPE),
            ("link", tarfile.SYMTYPE),
            ("link", tarfile.LNKTYPE),
            ("fifo", tarfile.FIFOTYPE),
            ("device", tarfile.CHRTYPE),
            ("good", tarfile.REGTYPE),
        ],
    )
    def test_nothing_is_left_of_a_bad_archive(self, tmp_path, name, kind):
        archive = archive_of(tmp_path / "m.tar.gz", ("good", tarfile.REGTYPE, b"x"), (name, kind, b""))
        with pytest.raises(ArtifactError) as caught:
            unpack(archive, tmp_path / "in" / "out")
        assert str(caught.value).startswith(f"{archive}: ")
        assert "\n" not in str(caught.value)
        assert list((tmp_path / "in").iterdir()) == []

    def test_limits(self, tmp_path):
        archive = archive_of(tmp_path / "m.tar.gz", ("a", tarfile.REGTYPE, b"123"), ("b", tarfile.REGTYPE, b"4"))
        for limits in (Limits(1, 10, 10), Limits(9, 2, 10), Limits(9, 10, 3)):
            with pytest.raises(ArtifactError):
                unpack(archive, tmp_path / "out", limits)
        assert unpack(archive, tmp_path / "out", Limits(2, 3, 4)).is_dir()

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path):
        info = tarfile.TarInfo("zeros")
        info.size = 300 << 20
        (tmp_path / "m.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(1 << 20)))
        assert info.size < LIMITS.file_bytes
        with pytest.raises(ArtifactError, match="unpacks to more than"):
            unpack(tmp_path / "m.tar.gz", tmp_path / "out")

    def test_weights_of_zeros_are_no_bomb(self, tmp_path):
        archive = archive_of(tmp_path / "m.tar.gz", ("zeros", tarfile.REGTYPE, bytes(8 << 20)))
        assert archive.stat().st_size < 100_000
        unpack(archive, tmp_path / "out")

    def test_a_folder_with_something_in_it_is_left_alone(self, folder, tmp_path):
        with pytest.raises(UsageError, match="not empty"):
            unpack(pack(folder, tmp_path / "m.tar.gz"), folder)

    def test_no_archive(self, tmp_path):
        with pytest.raises(UsageError, match="No such file"):
            unpack(tmp_path / "none.tar.gz", tmp_path / "out")


class TestOpening:
    def test_an_archive(self, folder, tmp_path):
        with open_model(pack(folder, tmp_path / "m.tar.gz")) as model:
            assert model.manifest.labels == ("cat", "dog")
            assert contents(model.folder) == contents(folder)
        assert not model.folder.exists()

    def test_a_folder_stays(self, folder):
        with open_model(folder) as model:
            assert model.folder == folder
        assert (folder / "manifest.json").is_file()

    def test_a_run(self, folder, tmp_path):
        pack(folder, tmp_path / "run" / "model.tar.gz")
        with open_model(tmp_path / "run") as model:
            assert model.manifest.labels == ("cat", "dog")

    def test_forgetting_it_removes_it(self, folder, tmp_path):
        model = open_model(pack(folder, tmp_path / "m.tar.gz"))
        place = model.folder
        assert place.is_dir()
        del model
        gc.collect()
        assert not place.exists()

    @pytest.mark.parametrize("form", ["folder", "archive"])
    def test_checksums(self, folder, tmp_path, form):
        (folder / "model.onnx").write_bytes(b"abd")
        path = folder if form == "folder" else pack(folder, tmp_path / "m.tar.gz")
        with pytest.raises(ArtifactError, match=r"`model\.onnx` is not what the manifest says"):
            open_model(path)

    def test_a_missing_file(self, folder):
        (folder / "model.onnx").unlink()
        with pytest.raises(ArtifactError, match=r"`model\.onnx` is missing"):
            open_model(folder)

    def test_no_manifest(self, folder):
        (folder / "manifest.json").unlink()
        with pytest.raises(ArtifactError, match=r"holds no manifest\.json"):
            open_model(folder)

    def test_a_model_of_another_version_says_so(self, folder, tmp_path):
        document = json.loads((folder / "manifest.json").read_text()) | {"format_version": 3}
        (folder / "manifest.json").write_text(json.dumps(document))
        with pytest.raises(ArtifactError, match="has format version 3"):
            open_model(pack(folder, tmp_path / "m.tar.gz"))

    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "a/../../b", "a\nb"])
    def test_files_outside_are_not_read(self, folder, name):
        document = json.loads((folder / "manifest.json").read_text())
        document["files"] = {name: {"sha256": "0" * 64, "bytes": 1}}
        (folder / "manifest.json").write_text(json.dumps(document))
        with pytest.raises(ArtifactError, match="outside itself"):
            open_model(folder)

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a model", gzip.compress(b"not a tar")])
    def test_what_is_no_archive(self, tmp_path, data):
        (tmp_path / "m.tar.gz").write_bytes(data)
        with pytest.raises(ArtifactError, match=r"m\.tar\.gz: "):
            open_model(tmp_path / "m.tar.gz")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(ArtifactError, match="no such model"):
            open_model(tmp_path / "none.tar.gz")


class TestFuzz:
    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path, monkeypatch):
        """Where models are unpacked, so that what is left over can be seen."""
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        return tmp_path / "temporary"

    @pytest.fixture
    def packed(self, folder, tmp_path):
        return pack(folder, tmp_path / "m.tar.gz").read_bytes()

    @pytest.mark.parametrize("layer", ["gzip", "tar"])
    def test_changed_bytes(self, packed, tmp_path, temporary, layer):
        original = packed if layer == "gzip" else gzip.decompress(packed)
        changes = st.lists(st.tuples(st.integers(0, len(original) - 1), st.integers(0, 255)), min_size=1, max_size=4)

        @settings(max_examples=150, deadline=None)
        @given(changes)
        def run(changes):
            data = bytearray(original)
            for place, value in changes:
                data[place] = value
            opens_safely(tmp_path / "x.tar.gz", bytes(data) if layer == "gzip" else gzip.compress(data, 1))
            assert list(temporary.iterdir()) == []

        run()

    def test_cut_off(self, packed, tmp_path, temporary):
        for length in range(0, len(packed), 29):
            opens_safely(tmp_path / "x.tar.gz", packed[:length])
        assert list(temporary.iterdir()) == []


def opens_safely(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    line = ""
    try:
        open_model(path).close()
    except ArtifactError as error:
        line = str(error)
    assert "\n" not in line
