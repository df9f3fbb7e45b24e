"""What a job leaves behind, in the bucket it named."""

from __future__ import annotations

import base64
import gzip
import os
import stat
import tarfile
import time
from pathlib import Path

import pytest

from clary.control.jobs.kinds.training.outputs import Artifacts, checkpoint_upload, collect
from clary.control.objects.checksums import ALGORITHMS
from clary.control.objects.local import LocalStore
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError
from clary.errors import ClaryError, CustomerError
from clary.vision.base import tarsafe

LIMITS = tarsafe.Limits(members=100, file_bytes=1 << 20, total_bytes=1 << 20)


@pytest.fixture
def opt_ml(settings: Settings) -> Path:
    root = settings.jobs_root / "job" / "opt_ml"
    for folder in ("model/deep", "output/data", "checkpoints"):
        (root / folder).mkdir(parents=True)
    (root / "model/manifest.json").write_text("{}")
    (root / "model/deep/weights").write_bytes(b"\1\2\3")
    return root


@pytest.fixture
def stored(objects: LocalStore) -> Path:
    return objects.root / "bucket"


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_model_is_packed_flat_where_sagemaker_puts_it(make_body, settings, objects, opt_ml, stored, tmp_path):
    made = collect(make_body(), settings=settings, objects=objects)
    assert made == Artifacts(model="s3://bucket/out/job/output/model.tar.gz")
    assert files_of(stored) == ["out/job/output/model.tar.gz"]
    tarsafe.extract(stored / "out/job/output/model.tar.gz", tmp_path / "model", LIMITS)
    assert files_of(tmp_path / "model") == ["deep/weights", "manifest.json"]
    assert sorted(os.listdir(opt_ml.parent)) == ["opt_ml"]


@pytest.mark.parametrize("path", ["s3://bucket", "s3://bucket/"])
def test_a_bucket_without_a_prefix(make_body, settings, objects, opt_ml, stored, path):
    made = collect(make_body(OutputDataConfig={"S3OutputPath": path}), settings=settings, objects=objects)
    assert made.model == "s3://bucket/job/output/model.tar.gz"
    assert files_of(stored) == ["job/output/model.tar.gz"]


def test_other_output(make_body, settings, objects, opt_ml, stored):
    (opt_ml / "output/data/plots").mkdir()
    (opt_ml / "output/data/plots/a.png").write_bytes(b"png")
    made = collect(make_body(), settings=settings, objects=objects)
    assert made.output == "s3://bucket/out/job/output/output.tar.gz"
    with tarfile.open(stored / "out/job/output/output.tar.gz") as tar:
        assert tar.getnames() == ["plots", "plots/a.png"]


def test_a_failed_job_has_no_model(make_body, settings, objects, opt_ml, stored):
    (opt_ml / "output/data/log").write_bytes(b"x")
    made = collect(make_body(), settings=settings, objects=objects, model=False)
    assert made == Artifacts(output="s3://bucket/out/job/output/output.tar.gz")
    assert files_of(stored) == ["out/job/output/output.tar.gz"]


def test_twice_gives_the_same(make_body, settings, objects, opt_ml, stored):
    first = collect(make_body(), settings=settings, objects=objects)
    data = (stored / "out/job/output/model.tar.gz").read_bytes()
    assert collect(make_body(), settings=settings, objects=objects) == first
    assert (stored / "out/job/output/model.tar.gz").read_bytes() == data


def test_uncompressed(make_body, settings, objects, opt_ml, stored):
    output = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"}
    made = collect(make_body(OutputDataConfig=output), settings=settings, objects=objects)
    assert made.model == "s3://bucket/out/job/output/model"
    assert files_of(stored) == ["out/job/output/model/deep/weights", "out/job/output/model/manifest.json"]


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_a_link_in_the_model_is_refused_by_name(make_body, settings, objects, opt_ml, compression):
    (opt_ml / "model/passwd").symlink_to("/etc/passwd")
    body = make_body(OutputDataConfig={"S3OutputPath": "s3://bucket/out", "CompressionType": compression})
    with pytest.raises(CustomerError, match=r"^/opt/ml/model/passwd: is a symbolic link"):
        collect(body, settings=settings, objects=objects)


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_a_link_in_the_model_to_another_of_its_files_is_that_file(
    make_body, settings, objects, opt_ml, stored, tmp_path, compression
):
    (opt_ml / "model/best").symlink_to("deep/weights")
    output = {"S3OutputPath": "s3://bucket/out", "CompressionType": compression}
    collect(make_body(OutputDataConfig=output), settings=settings, objects=objects)
    if compression == "NONE":
        assert (stored / "out/job/output/model/best").read_bytes() == b"\1\2\3"
    else:
        tarsafe.extract(stored / "out/job/output/model.tar.gz", tmp_path / "model", LIMITS)
        assert (tmp_path / "model/best").read_bytes() == b"\1\2\3"


@pytest.mark.parametrize("key", ["model.tar.gz", "output.tar.gz"])
def test_results_have_the_checksum_that_an_object_has(make_body, settings, objects, opt_ml, stored, key):
    (opt_ml / "output/data/log").write_bytes(b"x")
    collect(make_body(), settings=settings, objects=objects)
    with objects.open("bucket", f"out/job/output/{key}") as file:
        expected = base64.b64encode(ALGORITHMS["CRC64NVME"].of(file.read())).decode()
    assert objects.facts("bucket", f"out/job/output/{key}")[1].checksum == {"CRC64NVME": expected}


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
@pytest.mark.parametrize("name", ["model", "output", "output/data"])
def test_a_folder_of_results_that_is_a_link_is_refused_by_name(
    make_body, settings, objects, opt_ml, stored, tmp_path, compression, name
):
    (tmp_path / "home/data").mkdir(parents=True)
    (tmp_path / "home/secret").write_text("secret")
    (tmp_path / "home/data/secret").write_text("secret")
    (opt_ml / name).rename(tmp_path / "before")
    (opt_ml / name).symlink_to(tmp_path / "home")
    body = make_body(OutputDataConfig={"S3OutputPath": "s3://bucket/out", "CompressionType": compression})
    with pytest.raises(CustomerError, match=f"^/opt/ml/{name}: is a symbolic link; results are"):
        collect(body, settings=settings, objects=objects)
    assert not any("secret" in path or "output.tar.gz" in path for path in files_of(stored))


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
@pytest.mark.parametrize("kind", ["hard link", "FIFO", "socket", "device"])
def test_nothing_but_files_and_folders_of_the_job(
    make_body, settings, objects, opt_ml, stored, tmp_path, kind, compression
):
    path = opt_ml / "output/data/deep/x"
    path.parent.mkdir()
    match kind:
        case "hard link":
            (tmp_path / "secret").write_text("secret")
            os.link(tmp_path / "secret", path)
        case "FIFO":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, 0o600 | stat.S_IFSOCK)
        case "device":
            try:
                os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only root makes devices")
    body = make_body(OutputDataConfig={"S3OutputPath": "s3://bucket/out", "CompressionType": compression})
    with pytest.raises(CustomerError, match=f"^/opt/ml/output/data/deep/x: is a {kind}"):
        collect(body, settings=settings, objects=objects)
    assert "out/job/output/output.tar.gz" not in files_of(stored)


def test_two_names_of_one_file_among_the_results_are_two_files(make_body, settings, objects, opt_ml, stored):
    os.link(opt_ml / "model/manifest.json", opt_ml / "model/again.json")
    os.link(opt_ml / "model/manifest.json", opt_ml / "checkpoints/again.json")
    collect(make_body(), settings=settings, objects=objects)
    with tarfile.open(stored / "out/job/output/model.tar.gz") as tar:
        assert tar.getnames() == ["again.json", "deep", "deep/weights", "manifest.json"]


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_a_link_that_is_put_there_meanwhile(
    make_body, settings, objects, opt_ml, stored, tmp_path, monkeypatch, compression
):
    """Between the look and the read a folder and a file become links."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/weights").write_text("secret")
    real = os.stat

    def late(path, **more):
        found = real(path, **more)
        if path == "deep" and more.get("dir_fd") is not None and not (opt_ml / "moved").exists():
            (opt_ml / "model/deep").rename(opt_ml / "moved")
            (opt_ml / "model/deep").symlink_to(tmp_path / "mine")
        return found

    monkeypatch.setattr(os, "stat", late)
    body = make_body(OutputDataConfig={"S3OutputPath": "s3://bucket/out", "CompressionType": compression})
    with pytest.raises(CustomerError, match=r"^/opt/ml/model/deep: is neither a file nor a folder any more"):
        collect(body, settings=settings, objects=objects)
    assert b"secret" not in b"".join(path.read_bytes() for path in stored.rglob("*") if path.is_file())


def test_a_tree_that_vanished_is_named(make_body, settings, objects, opt_ml):
    opt_ml.rename(opt_ml.with_name("moved"))
    with pytest.raises(ClaryError, match=r"job/opt_ml: is gone: somebody removed it while the job ran"):
        collect(make_body(), settings=settings, objects=objects)


def test_a_job_that_removed_its_model_folder_has_an_empty_model(make_body, settings, objects, opt_ml, stored):
    for path in ("deep/weights", "manifest.json"):
        (opt_ml / "model" / path).unlink()
    (opt_ml / "model/deep").rmdir()
    (opt_ml / "model").rmdir()
    collect(make_body(), settings=settings, objects=objects)
    with tarfile.open(stored / "out/job/output/model.tar.gz") as tar:
        assert tar.getnames() == []


def test_a_bucket_that_is_not_there_any_more(make_body, settings, objects, opt_ml):
    body = make_body(OutputDataConfig={"S3OutputPath": "s3://nowhere/out"})
    with pytest.raises(ServiceError, match="nowhere"):
        collect(body, settings=settings, objects=objects)
    assert sorted(os.listdir(opt_ml.parent)) == ["opt_ml"]


def test_a_model_of_13_mb_takes_no_seconds(make_body, settings, objects, opt_ml, stored):
    (opt_ml / "model/weights").write_bytes(os.urandom(13 << 20))
    start = time.perf_counter()
    collect(make_body(), settings=settings, objects=objects)
    assert time.perf_counter() - start < 3
    with gzip.open(stored / "out/job/output/model.tar.gz") as file:
        assert len(file.read()) > 13 << 20


class TestCheckpointUpload:
    @pytest.fixture
    def uploading(self, make_body, settings, objects, opt_ml):
        body = make_body(CheckpointConfig={"S3Uri": "s3://bucket/points"})
        return checkpoint_upload(body, settings=settings, objects=objects)

    def test_what_is_new_or_changed(self, uploading, opt_ml, stored):
        folder = opt_ml / "checkpoints"
        (folder / "a").mkdir()
        (folder / "last").write_bytes(b"1")
        (folder / "a/epoch-1").write_bytes(b"2")
        assert uploading.upload() == 2
        assert uploading.upload() == 0
        (folder / "last").write_bytes(b"changed")
        assert uploading.upload() == 1
        assert (stored / "points/last").read_bytes() == b"changed"
        (folder / "a/epoch-1").unlink()
        assert uploading.upload() == 0
        assert files_of(stored) == ["points/a/epoch-1", "points/last"]

    def test_files_in_the_making_are_left_out(self, uploading, opt_ml, stored):
        (opt_ml / "checkpoints/.last.x8y").write_bytes(b"half")
        assert uploading.upload() == 0
        assert files_of(stored) == []

    def test_links_and_pipes_are_refused_by_name_once_the_others_are_there(self, uploading, opt_ml, stored):
        (opt_ml / "checkpoints/link").symlink_to("/etc/passwd")
        os.mkfifo(opt_ml / "checkpoints/pipe")
        (opt_ml / "checkpoints/zebra").write_bytes(b"whole")
        with pytest.raises(CustomerError, match=r"^/opt/ml/checkpoints/link: is a symbolic link"):
            uploading.upload()
        assert files_of(stored) == ["points/zebra"]

    @pytest.mark.parametrize("target", ["epoch=3.ckpt", "/opt/ml/checkpoints/epoch=3.ckpt"])
    def test_the_link_to_the_last_checkpoint_is_that_checkpoint(self, uploading, opt_ml, stored, target):
        """PyTorch Lightning's ``save_last="link"``, which failed jobs."""
        folder = opt_ml / "checkpoints"
        (folder / "epoch=3.ckpt").write_bytes(b"3")
        (folder / "last.ckpt").symlink_to(target)
        assert uploading.upload() == 2
        assert uploading.upload() == 0
        assert (stored / "points/last.ckpt").read_bytes() == b"3"
        (folder / "epoch=4.ckpt").write_bytes(b"4")
        (folder / "last.ckpt").unlink()
        (folder / "last.ckpt").symlink_to(target.replace("3", "4"))
        assert uploading.upload() == 2
        assert (stored / "points/last.ckpt").read_bytes() == b"4"

    def test_a_folder_that_is_a_link_is_refused_by_name(self, uploading, opt_ml, stored, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/secret").write_text("secret")
        (opt_ml / "checkpoints").rmdir()
        (opt_ml / "checkpoints").symlink_to(tmp_path / "mine")
        with pytest.raises(CustomerError, match=r"^/opt/ml/checkpoints: is a symbolic link"):
            uploading.upload()
        assert files_of(stored) == []

    def test_without_checkpoint_config_there_is_nothing_to_do(self, make_body, settings, objects, opt_ml):
        (opt_ml / "checkpoints/last").write_bytes(b"1")
        assert checkpoint_upload(make_body(), settings=settings, objects=objects) is None

    def test_a_folder_that_is_not_there(self, uploading, opt_ml):
        (opt_ml / "checkpoints").rmdir()
        assert uploading.upload() == 0

    def test_a_file_that_goes_away_meanwhile_is_the_one_that_was_opened(
        self, uploading, opt_ml, objects, stored, monkeypatch
    ):
        (opt_ml / "checkpoints/last").write_bytes(b"1")
        put = objects.put

        def late(bucket: str, key: str, path: Path) -> None:
            (opt_ml / "checkpoints/last").unlink()
            (opt_ml / "checkpoints/last").symlink_to("/etc/passwd")
            put(bucket, key, path)

        monkeypatch.setattr(objects, "put", late)
        assert uploading.upload() == 1
        assert (stored / "points/last").read_bytes() == b"1"


def test_an_archive_that_a_killed_gateway_left_goes(make_body, settings, objects, opt_ml):
    left = opt_ml.parent / ".packed.abc" / "archive.tar.gz"
    left.parent.mkdir()
    left.write_bytes(b"half")
    (opt_ml.parent / "launch.json").touch()
    collect(make_body(), settings=settings, objects=objects)
    assert sorted(os.listdir(opt_ml.parent)) == ["launch.json", "opt_ml"]


def test_half_a_file_of_a_killed_algorithm_is_no_part_of_the_model(make_body, settings, objects, opt_ml, stored):
    (opt_ml / "model/.model.onnx.ab12cd3_").write_bytes(b"half")
    (opt_ml / "model/.config").write_bytes(b"mine")
    collect(make_body(), settings=settings, objects=objects)
    with tarfile.open(stored / "out/job/output/model.tar.gz") as tar:
        assert tar.getnames() == [".config", "deep", "deep/weights", "manifest.json"]
