"""What a processing job leaves behind, and what it says at its end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from clary.control.jobs.kinds.processing.kind import KIND
from clary.control.objects.base import NoSuchBucket
from clary.errors import ClaryError, CustomerError

from .conftest import cluster, wanted

BOTH = [
    wanted("train", "s3://bucket/out/train/", "/opt/ml/processing/output/train"),
    wanted("live", "s3://bucket/out/live", "/opt/ml/processing/output/live", "Continuous"),
]


@pytest.fixture
def job(make_job):
    job = make_job(outputs=BOTH)
    made(job)
    return job


def made(job: Any, host: str = "algo-1") -> Path:
    """The folder of a host whose program is to run."""
    opt_ml: Path = job.host_folder(host) / "opt_ml"
    for name in ("processing/output/train", "processing/output/live", "output"):
        (opt_ml / name).mkdir(parents=True)
    return opt_ml


def put(job: Any, name: str, text: str = "x", host: str = "algo-1") -> None:
    path = job.host_folder(host) / "opt_ml" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def keys(objects: Any) -> list[str]:
    return [found.key for found in objects.list("bucket", "out/")]


def content(objects: Any, key: str) -> bytes:
    with objects.open("bucket", key) as file:
        found: bytes = file.read()
    return found


def test_every_file_below_its_uri(job, objects):
    put(job, "processing/output/train/a.csv", "1")
    put(job, "processing/output/train/deep/er/.hidden")
    put(job, "processing/output/live/b")
    assert KIND.collect(job, failed=False) == {}
    assert keys(objects) == ["out/live/b", "out/train/a.csv", "out/train/deep/er/.hidden"]
    assert content(objects, "out/train/a.csv") == b"1"
    KIND.collect(job, failed=False)
    assert len(keys(objects)) == 3


def test_an_empty_one_is_a_line_of_the_log(job, objects, lines):
    put(job, "processing/output/live/b")
    KIND.collect(job, failed=False)
    assert lines(job) == [
        "The output train is empty: nothing lies in /opt/ml/processing/output/train to be stored in s3://bucket/out/train/"
    ]
    shutil.rmtree(job.folder / "opt_ml/processing")
    KIND.collect(job, failed=False)
    assert any(line.startswith("The output live is empty") for line in lines(job))


def test_of_a_failed_job_only_what_was_to_be_there_while_it_ran(job, objects, lines):
    put(job, "processing/output/train/a.csv")
    put(job, "processing/output/live/b")
    KIND.collect(job, failed=True)
    assert keys(objects) == ["out/live/b"]
    assert lines(job) == ["The output train is not stored: the job failed, and its S3UploadMode is EndOfJob"]


def test_continuous_ones_are_kept_in_step(job, objects):
    observe = KIND.observer(job)
    observe()
    assert keys(objects) == []
    put(job, "processing/output/live/b", "1")
    put(job, "processing/output/live/.b.partial")
    put(job, "processing/output/train/a.csv")
    observe()
    assert keys(objects) == ["out/live/b"]
    put(job, "processing/output/live/b", "longer")
    put(job, "processing/output/live/c")
    observe()
    assert keys(objects) == ["out/live/b", "out/live/c"]
    assert content(objects, "out/live/b") == b"longer"


def test_a_link_out_of_the_folder_is_left_out_and_named(job, objects, lines):
    put(job, "processing/output/live/b")
    (job.folder / "opt_ml/processing/output/live/secret").symlink_to("/etc/passwd")
    KIND.observer(job)()
    assert keys(objects) == ["out/live/b"]
    (job.folder / "opt_ml/processing/output/live/latest").symlink_to("b")
    KIND.collect(job, failed=False)
    assert keys(objects) == ["out/live/b", "out/live/latest"]
    assert any(
        line.startswith("Not stored: /opt/ml/processing/output/live/secret: is a symbolic") for line in lines(job)
    )


def test_a_folder_that_was_replaced_by_a_link_leads_nowhere(job, tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.rmtree(job.folder / "opt_ml/processing/output/train")
    (job.folder / "opt_ml/processing/output/train").symlink_to(tmp_path / "mine")
    with pytest.raises(CustomerError, match=r"^/opt/ml/processing/output/train: is a symbolic link"):
        KIND.collect(job, failed=False)


def test_a_bucket_that_is_gone(job, objects):
    put(job, "processing/output/train/a.csv")
    shutil.rmtree(objects.root / "bucket")
    with pytest.raises(NoSuchBucket):
        KIND.collect(job, failed=False)


def test_a_tree_that_is_gone_is_no_empty_output(job):
    shutil.rmtree(job.folder / "opt_ml")
    with pytest.raises(ClaryError, match="somebody removed it"):
        KIND.collect(job, failed=False)


def test_each_host_stores_its_own(make_job, objects):
    job = make_job(outputs=BOTH[:1], ProcessingResources=cluster(2))
    for host in KIND.hosts(job.body):
        made(job, host)
        put(job, f"processing/output/train/{host}.csv", host=host)
        put(job, "output/message", f"{host} ", host=host)
    KIND.collect(job, failed=False)
    assert keys(objects) == ["out/train/algo-1.csv", "out/train/algo-2.csv"]
    assert KIND.final(job) == {"ExitMessage": "algo-1 algo-2 "}


class TestExitMessage:
    def test_none(self, job):
        assert KIND.final(job) == {}
        shutil.rmtree(job.folder / "opt_ml")
        assert KIND.final(job) == {}

    def test_its_first_kibibyte_in_whole_characters(self, job):
        put(job, "output/message", "x" * 1023 + "é")
        assert KIND.final(job) == {"ExitMessage": "x" * 1023}
        KIND.collect(job, failed=False)

    def test_what_is_no_text_fails_the_job(self, job):
        (job.folder / "opt_ml/output/message").write_bytes(b"ab\xff")
        with pytest.raises(CustomerError, match=r"^/opt/ml/output/message: is not UTF-8 \(byte 2\)"):
            KIND.collect(job, failed=False)
        assert KIND.final(job) == {"ExitMessage": "ab"}

    def test_a_link_is_not_followed(self, job):
        (job.folder / "opt_ml/output/message").symlink_to("/etc/passwd")
        assert KIND.final(job) == {}
        KIND.collect(job, failed=False)
