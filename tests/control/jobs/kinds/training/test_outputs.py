"""What a job leaves behind, in the bucket it named."""

from __future__ import annotations

import gzip
import os
import tarfile
import time
from pathlib import Path

import pytest

from clary.control.jobs.kinds.training.outputs import Artifacts, CheckpointUpload, collect
from clary.control.objects.local import LocalStore
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError
from clary.errors import CustomerError
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
    with pytest.raises(CustomerError, match=r"model/passwd: is neither a file nor a folder"):
        collect(body, settings=settings, objects=objects)


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
    def uploading(self, make_body, settings, objects, opt_ml) -> CheckpointUpload:
        body = make_body(CheckpointConfig={"S3Uri": "s3://bucket/points"})
        return CheckpointUpload(body, settings=settings, objects=objects)

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

    def test_files_in_the_making_and_links_are_left_out(self, uploading, opt_ml, stored):
        (opt_ml / "checkpoints/.last.x8y").write_bytes(b"half")
        (opt_ml / "checkpoints/link").symlink_to("/etc/passwd")
        os.mkfifo(opt_ml / "checkpoints/pipe")
        assert uploading.upload() == 0
        assert files_of(stored) == []

    def test_without_checkpoint_config_there_is_nothing_to_do(self, make_body, settings, objects, opt_ml):
        (opt_ml / "checkpoints/last").write_bytes(b"1")
        assert CheckpointUpload(make_body(), settings=settings, objects=objects).upload() == 0

    def test_a_folder_that_is_not_there(self, uploading, opt_ml):
        (opt_ml / "checkpoints").rmdir()
        assert uploading.upload() == 0

    def test_a_file_that_goes_away_meanwhile(self, uploading, opt_ml, objects, monkeypatch):
        (opt_ml / "checkpoints/last").write_bytes(b"1")
        put = objects.put

        def late(bucket: str, key: str, path: Path) -> None:
            path.unlink()
            put(bucket, key, path)

        monkeypatch.setattr(objects, "put", late)
        assert uploading.upload() == 0
