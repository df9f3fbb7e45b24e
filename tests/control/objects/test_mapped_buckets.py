"""Buckets that are folders elsewhere: read as any, never written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from clary.control.configuration import Configuration
from clary.control.objects.base import NoSuchBucket
from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App
from clary.control.objects.service import ObjectService
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError
from clary.errors import UsageError

FILES = "sagemaker-sample-files"
FOLDER = {"datasets/a-b.csv": b"0123456789", "datasets/a/1.jpg": b"cat", "datasets/é.txt": b"", "top": b"t"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "samples"
    for name, content in FOLDER.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (tmp_path / "secret").write_bytes(b"mine")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    return root


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> LocalStore:
    """With ``mine`` in it, and two mappings to one folder."""
    found = LocalStore(tmp_path / "s3", {FILES: folder, "jumpstart-cache-prod-*": folder})
    found.create_bucket("mine", "us-east-1")
    return found


@pytest.fixture
def s3(store: LocalStore, serving: Callable[..., Any], client: Callable[..., Any]) -> Iterator[Any]:
    with serving(S3App(store, account="000000000000", region="us-east-1")) as url:
        yield client(url)


def keys(s3: Any, **request: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(**request).get("Contents", ())]


@pytest.mark.parametrize("bucket", [FILES, "jumpstart-cache-prod-us-east-1"])
def test_it_is_read_as_any_bucket(s3: Any, bucket: str) -> None:
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    # In the order of bytes, and without links.
    assert keys(s3, Bucket=bucket) == ["datasets/a-b.csv", "datasets/a/1.jpg", "datasets/é.txt", "top"]
    assert keys(s3, Bucket=bucket, Prefix="datasets/a/") == ["datasets/a/1.jpg"]
    listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in listed["CommonPrefixes"]] == ["datasets/"]
    assert s3.get_object(Bucket=bucket, Key="datasets/a-b.csv", Range="bytes=2-4")["Body"].read() == b"234"
    assert s3.head_object(Bucket=bucket, Key="datasets/a/1.jpg")["ContentLength"] == 3
    for key in ("link", "out/secret", "datasets/../../secret", "none"):
        with pytest.raises(ClientError) as missing:
            s3.get_object(Bucket=bucket, Key=key)
        assert missing.value.response["Error"]["Code"] == "NoSuchKey"


def test_named_ones_are_listed(s3: Any) -> None:
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["mine", FILES]
    assert s3.get_bucket_location(Bucket=FILES)["LocationConstraint"] is None


def test_objects_can_be_copied_from_it(s3: Any) -> None:
    s3.copy_object(Bucket="mine", Key="copy", CopySource=f"{FILES}/datasets/a-b.csv")
    assert s3.get_object(Bucket="mine", Key="copy")["Body"].read() == b"0123456789"


WRITES: dict[str, dict[str, Any]] = {
    "put_object": {"Key": "new", "Body": b"x"},
    "delete_object": {"Key": "top"},
    "delete_objects": {"Delete": {"Objects": [{"Key": "top"}]}},
    "create_multipart_upload": {"Key": "new"},
    "copy_object": {"Key": "new", "CopySource": "mine/x"},
    "put_object_tagging": {"Key": "top", "Tagging": {"TagSet": []}},
    "delete_object_tagging": {"Key": "top"},
    "put_bucket_tagging": {"Tagging": {"TagSet": []}},
    "delete_bucket": {},
    "create_bucket": {},
}


@pytest.mark.parametrize("call", WRITES)
def test_a_write_is_denied_and_names_the_mapping(s3: Any, folder: Path, call: str) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(ClientError) as denied:
        getattr(s3, call)(Bucket=FILES, **WRITES[call])
    error = denied.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    assert f"the bucket {FILES} is the folder {folder}, mapped under [buckets] in clary.toml" in error["Message"]
    assert sorted(folder.rglob("*")) == before


def test_jobs_cannot_write_to_it_either(store: LocalStore, tmp_path: Path) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.check_put(FILES, "x"),
        lambda: store.put(FILES, "x", tmp_path / "secret"),
        lambda: store.delete(FILES, "top"),
        lambda: store.adopt(tmp_path / "secret", FILES, "x"),
        lambda: store.change_metadata(FILES, "top", lambda found: found),
        lambda: store.mark_folder(FILES, "x/", store.facts(FILES, "top")[1]),
    ]
    for call in calls:
        with pytest.raises(ServiceError, match=r"mapped under \[buckets\]"):
            call()


def test_a_pattern_hides_no_bucket_of_ones_own(store: LocalStore) -> None:
    name = "jumpstart-cache-prod-eu-west-1"
    assert [one.key for one in store.list(name)][-1] == "top"
    store.create_bucket(name, "us-east-1")
    assert list(store.list(name)) == []
    store.check_put(name, "x")


def test_a_name_does_and_the_log_says_so(tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(home=tmp_path / "home", configuration=Configuration(buckets={FILES: folder}))
    (settings.s3_root / FILES / "other").mkdir(parents=True)
    service = ObjectService(settings)
    assert [one.key for one in service.store.list(FILES, "t")] == ["top"]
    assert [f"the bucket {FILES} of {settings.s3_root} is not read" in one.getMessage() for one in caplog.records] == [
        True
    ]


def test_a_folder_that_goes_away_is_no_bucket(store: LocalStore, folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(NoSuchBucket):
        list(store.list(FILES))


def test_beside_another_s3_server_it_is_refused(tmp_path: Path, folder: Path) -> None:
    settings = Settings(home=tmp_path / "home", s3_endpoint="http://127.0.0.1:9")
    configured = replace(settings, configuration=Configuration(buckets={FILES: folder}))
    with pytest.raises(UsageError, match=r"\[buckets\] cannot be served beside the S3 server"):
        ObjectService(configured)
