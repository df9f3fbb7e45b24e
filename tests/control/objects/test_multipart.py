from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from clary.control.objects import multipart_files
from clary.control.objects.checksums import ALGORITHMS, DEFAULT
from clary.control.objects.local import LocalStore

PART = 5 << 20
HERE = {"Bucket": "box", "Key": "deep/x"}
Refused = Callable[..., tuple[str, int]]


@pytest.fixture
def upload(s3: Any) -> dict[str, str]:
    """Bucket, key and id of an upload that was begun."""
    answer = s3.create_multipart_upload(**HERE, ContentType="image/png", Metadata={"a": "b"})
    return HERE | {"UploadId": answer["UploadId"]}


def send(s3: Any, upload: dict[str, str], number: int, data: bytes) -> dict[str, Any]:
    return {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=data)["ETag"]}


def complete(s3: Any, upload: dict[str, str], parts: list[dict[str, Any]]) -> Any:
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


class TestParts:
    def test_come_in_any_order_and_with_gaps(self, s3: Any, upload: dict[str, str], store: LocalStore) -> None:
        data = {number: os.urandom(PART) for number in (9, 2, 5)}
        parts = {number: send(s3, upload, number, body) for number, body in data.items()}
        assert s3.list_objects_v2(Bucket="box")["KeyCount"] == 0
        etag = complete(s3, upload, [parts[2], parts[5], parts[9]])["ETag"]
        answer = s3.get_object(**HERE)
        assert answer["Body"].read() == data[2] + data[5] + data[9]
        sums = b"".join(hashlib.md5(data[number]).digest() for number in (2, 5, 9))
        assert answer["ETag"] == etag == f'"{hashlib.md5(sums).hexdigest()}-3"'
        assert (answer["ContentType"], answer["Metadata"]) == ("image/png", {"a": "b"})
        assert list(store.staging.iterdir()) == []

    def test_the_last_of_one_number_counts(self, s3: Any, upload: dict[str, str], refused: Refused) -> None:
        first = send(s3, upload, 1, b"first")
        second = send(s3, upload, 1, b"second")
        wrong = {"MultipartUpload": {"Parts": [first]}}
        assert refused(s3.complete_multipart_upload, **upload, **wrong) == ("InvalidPart", 400)
        complete(s3, upload, [second])
        assert s3.get_object(**HERE)["Body"].read() == b"second"

    def test_are_listed(self, s3: Any, upload: dict[str, str]) -> None:
        parts = [send(s3, upload, number, b"%d" % number) for number in (3, 1, 2)]
        pages = s3.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2})
        found = [each for page in pages for each in page["Parts"]]
        assert [(each["PartNumber"], each["Size"]) for each in found] == [(1, 1), (2, 1), (3, 1)]
        assert {each["ETag"] for each in found} == {part["ETag"] for part in parts}

    def test_a_wrong_one_is_not_kept(self, s3: Any, upload: dict[str, str], refused: Refused) -> None:
        part = send(s3, upload, 1, b"right")
        wrong = {**upload, "PartNumber": 1, "Body": b"wrong", "ChecksumCRC32": "AAAAAA=="}
        assert refused(s3.upload_part, **wrong) == ("BadDigest", 400)
        complete(s3, upload, [part])

    def test_copied_from_objects(self, s3: Any, upload: dict[str, str]) -> None:
        data = os.urandom(PART + 100)
        s3.put_object(Bucket="box", Key="source", Body=data)
        whole = s3.upload_part_copy(**upload, PartNumber=1, CopySource="box/source")["CopyPartResult"]["ETag"]
        piece = {"CopySource": "box/source", "CopySourceRange": "bytes=10-19"}
        tail = s3.upload_part_copy(**upload, PartNumber=2, **piece)["CopyPartResult"]["ETag"]
        complete(s3, upload, [{"PartNumber": 1, "ETag": whole}, {"PartNumber": 2, "ETag": tail}])
        assert s3.get_object(**HERE)["Body"].read() == data + data[10:20]

    @pytest.mark.parametrize(("text", "code"), [("bytes=0-5", "InvalidRange"), ("bytes=0-", "InvalidArgument")])
    def test_not_copied_from_beyond_the_end(
        self, s3: Any, upload: dict[str, str], refused: Refused, text: str, code: str
    ) -> None:
        s3.put_object(Bucket="box", Key="source", Body=b"12345")
        asked = {"PartNumber": 1, "CopySource": "box/source", "CopySourceRange": text}
        assert refused(s3.upload_part_copy, **upload, **asked)[0] == code
        assert "Parts" not in s3.list_parts(**upload)

    def test_copied_from_a_folder(self, s3: Any, upload: dict[str, str]) -> None:
        s3.put_object(Bucket="box", Key="folder/")
        s3.upload_part_copy(**upload, PartNumber=1, CopySource="box/folder/")
        assert [part["Size"] for part in s3.list_parts(**upload)["Parts"]] == [0]


class TestCompleting:
    @pytest.mark.parametrize(
        ("numbers", "code"),
        [
            ([2, 1], "InvalidPartOrder"),
            ([1, 1], "InvalidPartOrder"),
            ([1, 3], "InvalidPart"),
            ([1, 2], "EntityTooSmall"),
        ],
    )
    def test_a_wrong_list_changes_nothing(
        self, s3: Any, upload: dict[str, str], refused: Refused, numbers: list[int], code: str
    ) -> None:
        etags = {number: send(s3, upload, number, b"small")["ETag"] for number in (1, 2)}
        parts = [{"PartNumber": number, "ETag": etags.get(number, etags[1])} for number in numbers]
        wrong = {"MultipartUpload": {"Parts": parts}}
        assert refused(s3.complete_multipart_upload, **upload, **wrong) == (code, 400)
        assert [each["PartNumber"] for each in s3.list_parts(**upload)["Parts"]] == [1, 2]
        complete(s3, upload, [{"PartNumber": 1, "ETag": etags[1]}])

    def test_twice_is_as_once(self, s3: Any, upload: dict[str, str], refused: Refused) -> None:
        parts = [send(s3, upload, 1, b"content")]
        assert complete(s3, upload, parts)["ETag"] == complete(s3, upload, parts)["ETag"]
        s3.put_object(**HERE, Body=b"newer")
        again = {"MultipartUpload": {"Parts": parts}}
        assert refused(s3.complete_multipart_upload, **upload, **again) == ("NoSuchUpload", 404)
        assert s3.get_object(**HERE)["Body"].read() == b"newer"

    def test_with_a_condition_twice_is_as_once(self, s3: Any, upload: dict[str, str], store: LocalStore) -> None:
        """Also where we were killed between the object and the end of its upload."""
        parts = {"MultipartUpload": {"Parts": [send(s3, upload, 1, b"content")]}}
        shutil.copytree(store.staging / upload["UploadId"], store.root / ".kept")
        first = s3.complete_multipart_upload(**upload, **parts, IfNoneMatch="*")
        (store.root / ".kept").rename(store.staging / upload["UploadId"])
        assert s3.complete_multipart_upload(**upload, **parts, IfNoneMatch="*")["ETag"] == first["ETag"]

    def test_only_where_there_is_none(self, s3: Any, upload: dict[str, str], refused: Refused) -> None:
        parts = {"MultipartUpload": {"Parts": [send(s3, upload, 1, b"content")]}}
        s3.put_object(**HERE, Body=b"there")
        asked = {**upload, **parts, "IfNoneMatch": "*"}
        assert refused(s3.complete_multipart_upload, **asked) == ("PreconditionFailed", 412)
        assert s3.get_object(**HERE)["Body"].read() == b"there"

    @pytest.mark.parametrize("body", [b"", b"<CompleteMultipartUpload/>", b"<CompleteMultipartUpload><Part/>"])
    def test_what_is_no_list_of_parts(
        self, s3: Any, url: str, raw: Callable[..., Any], upload: dict[str, str], body: bytes
    ) -> None:
        answer = raw(url, "POST", f"/box/deep/x?uploadId={upload['UploadId']}", body)
        assert (answer.status, answer.code) == (400, "MalformedXML")


class TestUploads:
    def test_go_on_after_a_restart(self, s3: Any, upload: dict[str, str], store: LocalStore) -> None:
        """Nothing is kept in memory: another store over the same folder knows everything."""
        send(s3, upload, 1, b"content")
        names = [each.name for each in LocalStore(store.root).staging.iterdir()]
        assert names == [upload["UploadId"]]

    def test_aborted(self, s3: Any, upload: dict[str, str], store: LocalStore, refused: Refused) -> None:
        send(s3, upload, 1, b"content")
        s3.abort_multipart_upload(**upload)
        assert list(store.staging.iterdir()) == []
        assert refused(s3.abort_multipart_upload, **upload) == ("NoSuchUpload", 404)

    def test_aborted_when_they_are_completed(self, s3: Any, upload: dict[str, str], refused: Refused) -> None:
        """Nothing is left to abort; what must not happen is that the object goes."""
        complete(s3, upload, [send(s3, upload, 1, b"content")])
        s3.abort_multipart_upload(**upload)
        assert s3.get_object(**HERE)["Body"].read() == b"content"
        s3.delete_object(**HERE)
        assert refused(s3.abort_multipart_upload, **upload) == ("NoSuchUpload", 404)

    @pytest.mark.parametrize("name", ["0" * 32, "nonsense", "../box", "."])
    def test_that_never_were(self, s3: Any, refused: Refused, name: str) -> None:
        here = HERE | {"UploadId": name}
        missing = ("NoSuchUpload", 404)
        assert refused(s3.upload_part, **here, PartNumber=1, Body=b"1") == missing
        assert refused(s3.list_parts, **here) == missing
        assert refused(s3.abort_multipart_upload, **here) == missing
        part = {"PartNumber": 1, "ETag": "0" * 32}
        assert refused(s3.complete_multipart_upload, **here, MultipartUpload={"Parts": [part]}) == missing

    def test_belong_to_their_key(self, s3: Any, upload: dict[str, str], refused: Refused) -> None:
        other = upload | {"Key": "other"}
        assert refused(s3.upload_part, **other, PartNumber=1, Body=b"1") == ("NoSuchUpload", 404)

    @pytest.mark.parametrize("number", [0, 10_001])
    def test_numbers(self, s3: Any, upload: dict[str, str], refused: Refused, number: int) -> None:
        assert refused(s3.upload_part, **upload, PartNumber=number, Body=b"1") == ("InvalidArgument", 400)

    def test_are_listed(self, s3: Any, upload: dict[str, str]) -> None:
        other = s3.create_multipart_upload(Bucket="box", Key="another")["UploadId"]
        pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket="box", PaginationConfig={"PageSize": 1})
        found = [(each["Key"], each["UploadId"]) for page in pages for each in page["Uploads"]]
        assert found == [("another", other), ("deep/x", upload["UploadId"])]

    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_are_listed_by_folder_and_with_any_key(self, s3: Any, size: int) -> None:
        keys = ["\x01", "a", "a/1", "a/2", "a+ /1", "b"]
        for key in [*keys, "a"]:
            s3.create_multipart_upload(Bucket="box", Key=key)
        found: list[str] = []
        last: dict[str, str] = {}
        while True:
            page = s3.list_multipart_uploads(Bucket="box", Delimiter="/", EncodingType="url", MaxUploads=size, **last)
            assert (page["Delimiter"], page["EncodingType"]) == ("/", "url")
            found += [unquote(each["Key"]) for each in page.get("Uploads", [])]
            found += [unquote(each["Prefix"]) for each in page.get("CommonPrefixes", [])]
            if not page["IsTruncated"]:
                break
            last = {"KeyMarker": unquote(page["NextKeyMarker"]), "UploadIdMarker": page["NextUploadIdMarker"]}
        assert sorted(found) == ["\x01", "a", "a", "a+ /", "a/", "b"]
        within = s3.list_multipart_uploads(Bucket="box", Prefix="a/", Delimiter="/")
        assert [each["Key"] for each in within["Uploads"]] == ["a/1", "a/2"]

    def test_end_with_their_bucket(self, s3: Any, store: LocalStore, upload: dict[str, str], refused: Refused) -> None:
        s3.create_bucket(Bucket="other")
        kept = s3.create_multipart_upload(Bucket="other", Key="x")["UploadId"]
        s3.delete_bucket(Bucket="box")
        s3.create_bucket(Bucket="box")
        assert "Uploads" not in s3.list_multipart_uploads(Bucket="box")
        assert refused(s3.upload_part, **upload, PartNumber=1, Body=b"1") == ("NoSuchUpload", 404)
        assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket="other")["Uploads"]] == [kept]

    def test_abandoned_ones_are_swept(self, s3: Any, upload: dict[str, str], store: LocalStore) -> None:
        multipart_files.sweep(store)
        assert s3.list_parts(**upload)["UploadId"] == upload["UploadId"]
        os.utime(store.staging / upload["UploadId"], (1, 1))
        multipart_files.sweep(store)
        assert list(store.staging.iterdir()) == []


def test_parts_up_to_the_ten_thousandth(
    s3: Any, upload: dict[str, str], store: LocalStore, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as S3 takes; of 5 MiB each they would be 50 GB, so a byte is enough for one here, some are missing."""
    monkeypatch.setattr(multipart_files, "SMALLEST", 1)
    [found] = multipart_files.uploads(store)
    parts = []
    for number in (*range(1, 200), *range(200, 10_001, 50)):
        data, staged = b"%d " % number, store.stage_name()
        staged.write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        multipart_files.keep(found, number, md5, ALGORITHMS[DEFAULT].of(data), staged)
        parts.append({"PartNumber": number, "ETag": f'"{md5}"'})
    # What is looked through for each part that comes has an end: the time of all grows with their number, where it grew
    # with the square of it (the ten thousandth took 22 ms, the first one 2).
    folders = [folder for folder in found.folder.iterdir() if folder.is_dir()]
    assert (len(folders), max(len(list(folder.iterdir())) for folder in folders)) == (101, 100)
    again = send(s3, upload, 10_000, b"again")
    assert refused(s3.upload_part, **upload, PartNumber=10_001, Body=b"x") == ("InvalidArgument", 400)
    listed = s3.list_parts(**upload, PartNumberMarker=9_950)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(10_000, 5)]
    assert complete(s3, upload, [*parts[:-1], again])["ETag"].endswith(f'-{len(parts)}"')
    body = s3.get_object(**HERE)["Body"].read()
    assert [int(number) for number in body.split()[:-1]] == [part["PartNumber"] for part in parts[:-1]]
    assert body.endswith(b" again")
    assert list(store.staging.iterdir()) == []


def test_parts_that_an_older_clary_took_in_are_used(s3: Any, upload: dict[str, str], store: LocalStore) -> None:
    """They lay in the upload's own folder."""
    part = send(s3, upload, 1, b"body")
    [found] = multipart_files.uploads(store)
    for path in found.folder.rglob("00001.*"):
        path.rename(found.folder / path.name)
    complete(s3, upload, [part])
    assert s3.get_object(**HERE)["Body"].read() == b"body"
