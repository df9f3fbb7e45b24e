"""Checksums of objects over the wire: verified, kept, and given back to whoever asks."""

from __future__ import annotations

import base64
import io
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from clary.control.objects.checksums import ALGORITHMS
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import OBJECT

DATA = b"A" * 1024
HERE = {"Bucket": "box", "Key": "x"}
Refused = Callable[..., tuple[str, int]]
Raw = Callable[..., Any]


def value(name: str, data: bytes = DATA) -> str:
    return base64.b64encode(ALGORITHMS[name].of(data)).decode()


def put(s3: Any, name: str, data: bytes = DATA, key: str = "x") -> Any:
    return s3.put_object(
        Bucket="box", Key=key, Body=data, ChecksumAlgorithm=name, **{f"Checksum{name}": value(name, data)}
    )


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_of_a_put_is_kept_and_given_back(s3: Any, refused: Refused, name: str) -> None:
    member = f"Checksum{name}"
    answer = put(s3, name)
    assert (answer[member], answer["ChecksumType"]) == (value(name), "FULL_OBJECT")
    assert member not in s3.head_object(**HERE)
    head = s3.head_object(**HERE, ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (value(name), "FULL_OBJECT")
    # boto3 asks for it by itself, and compares.
    got = s3.get_object(**HERE)
    assert (got[member], got["Body"].read()) == (value(name), DATA)
    listed = s3.list_objects_v2(Bucket="box")["Contents"][0]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([name], "FULL_OBJECT")
    asked = s3.get_object_attributes(**HERE, ObjectAttributes=["Checksum"])
    assert asked["Checksum"] == {member: value(name), "ChecksumType": "FULL_OBJECT"}
    for wrong in ("bad", value(name, b"other")):
        members = {"Body": DATA, "ChecksumAlgorithm": name, member: wrong}
        assert refused(s3.put_object, Bucket="box", Key="y", **members) == ("BadDigest", 400)
    assert refused(s3.head_object, Bucket="box", Key="y")[1] == 404


def test_of_a_put_without_one_is_crc64nvme(s3: Any, url: str, raw: Raw) -> None:
    answer = raw(url, "PUT", "/box/x", DATA)
    assert answer.headers["x-amz-checksum-crc64nvme"] == value("CRC64NVME") == "Qeh8oXvGiSo="
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert s3.head_object(**HERE, ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == value("CRC64NVME")


def test_is_not_given_with_a_range(s3: Any) -> None:
    put(s3, "CRC32")
    answer = s3.get_object(**HERE, Range="bytes=0-9", ChecksumMode="ENABLED")
    assert answer["Body"].read() == DATA[:10]
    assert "ChecksumCRC32" not in answer
    assert "ChecksumCRC32" in s3.get_object(**HERE, PartNumber=1, ChecksumMode="ENABLED")


def test_is_not_that_of_a_file_written_behind_our_back(s3: Any, store: LocalStore) -> None:
    put(s3, "SHA256")
    (store.root / "box" / "x").write_bytes(b"other")
    assert "ChecksumSHA256" not in s3.head_object(**HERE, ChecksumMode="ENABLED")
    assert s3.get_object(**HERE)["Body"].read() == b"other"


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_may_trail_the_body(s3: Any, url: str, raw: Raw, name: str) -> None:
    header = ALGORITHMS[name].header
    headers = {
        "content_encoding": "aws-chunked",
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x_amz_decoded_content_length": str(len(DATA)),
        "x_amz_trailer": header,
    }

    def body(digest: str) -> bytes:
        return b"400\r\n" + DATA + f"\r\n0\r\n{header}:{digest}\r\n\r\n".encode()

    answer = raw(url, "PUT", "/box/x", body(value(name)), **headers)
    assert (answer.status, answer.headers[header]) == (200, value(name))
    assert s3.head_object(**HERE, ChecksumMode="ENABLED")[f"Checksum{name}"] == value(name)
    assert raw(url, "PUT", "/box/y", body(value(name, b"other")), **headers).code == "BadDigest"
    missing = b"400\r\n" + DATA + b"\r\n0\r\n\r\n"
    assert raw(url, "PUT", "/box/y", missing, **headers).code == "MalformedTrailerError"
    assert s3.list_objects_v2(Bucket="box")["KeyCount"] == 1


class TestCopies:
    def test_keep_it(self, s3: Any) -> None:
        put(s3, "SHA1")
        result = s3.copy_object(Bucket="box", Key="y", CopySource="box/x")["CopyObjectResult"]
        assert (result["ChecksumSHA1"], result["ChecksumType"]) == (value("SHA1"), "FULL_OBJECT")
        assert s3.head_object(Bucket="box", Key="y", ChecksumMode="ENABLED")["ChecksumSHA1"] == value("SHA1")

    def test_may_have_another(self, s3: Any, refused: Refused) -> None:
        put(s3, "SHA1")
        copy = {"Bucket": "box", "Key": "y", "CopySource": "box/x"}
        result = s3.copy_object(**copy, ChecksumAlgorithm="SHA256")["CopyObjectResult"]
        assert result["ChecksumSHA256"] == value("SHA256")
        head = s3.head_object(Bucket="box", Key="y", ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"] == value("SHA256")
        assert "ChecksumSHA1" not in head
        assert refused(s3.copy_object, **copy, ChecksumAlgorithm="SHA3") == ("InvalidRequest", 400)


PART = 5 << 20


@pytest.fixture(scope="module")
def parts() -> list[bytes]:
    return [os.urandom(PART), os.urandom(PART), b"the last"]


def multipart(s3: Any, parts: list[bytes], name: str, kind: str | None, **complete: Any) -> Any:
    begun = s3.create_multipart_upload(**HERE, ChecksumAlgorithm=name, **({"ChecksumType": kind} if kind else {}))
    assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == (name, kind or begun["ChecksumType"])
    upload = HERE | {"UploadId": begun["UploadId"]}
    member = f"Checksum{name}"
    done = []
    for number, data in enumerate(parts, 1):
        sent = s3.upload_part(
            **upload, PartNumber=number, Body=data, ChecksumAlgorithm=name, **{member: value(name, data)}
        )
        done.append({"PartNumber": number, "ETag": sent["ETag"], member: sent[member]})
    listed = s3.list_parts(**upload)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (name, begun["ChecksumType"])
    assert [each[member] for each in listed["Parts"]] == [value(name, data) for data in parts]
    (found,) = s3.list_multipart_uploads(Bucket="box")["Uploads"]
    assert (found["ChecksumAlgorithm"], found["ChecksumType"]) == (name, begun["ChecksumType"])
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done}, **complete)


def whole(name: str, kind: str, parts: list[bytes]) -> str:
    """By the bytes, not by the arithmetic that is tested."""
    algorithm = ALGORITHMS[name]
    if kind == "FULL_OBJECT":
        return value(name, b"".join(parts))
    return value(name, b"".join(algorithm.of(part) for part in parts)) + f"-{len(parts)}"


class TestMultipart:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("SHA256", "COMPOSITE"),
            ("SHA1", "COMPOSITE"),
            ("CRC32", "COMPOSITE"),
            ("CRC64NVME", "FULL_OBJECT"),
            ("CRC32", "FULL_OBJECT"),
            ("CRC32C", "FULL_OBJECT"),
        ],
    )
    def test_of_the_whole_and_of_each_part(self, s3: Any, parts: list[bytes], name: str, kind: str) -> None:
        member, expected = f"Checksum{name}", whole(name, kind, parts)
        given = {member: expected, "ChecksumType": kind, "MpuObjectSize": sum(map(len, parts))}
        answer = multipart(s3, parts, name, kind, **given)
        assert (answer[member], answer["ChecksumType"]) == (expected, kind)
        assert member not in s3.head_object(**HERE)
        head = s3.head_object(**HERE, ChecksumMode="ENABLED")
        assert (head[member], head["ChecksumType"]) == (expected, kind)
        attributes = s3.get_object_attributes(**HERE, ObjectAttributes=["Checksum", "ObjectParts"])
        assert attributes["Checksum"] == {member: expected, "ChecksumType": kind}
        assert [part[member] for part in attributes["ObjectParts"]["Parts"]] == [value(name, part) for part in parts]
        for number, data in enumerate(parts, 1):
            got = s3.get_object(**HERE, PartNumber=number)
            assert (got["Body"].read(), got[member], got["ChecksumType"]) == (data, value(name, data), kind)
        assert s3.get_object(**HERE)["Body"].read() == b"".join(parts)

    @pytest.mark.parametrize("name", ["CRC32C", "CRC64NVME", "SHA256"])
    def test_of_transfers(self, s3: Any, parts: list[bytes], name: str) -> None:
        """As s3transfer sends them: parts at once, their checksums in the list."""
        data = b"".join(parts)
        s3.upload_fileobj(io.BytesIO(data), "box", "x", ExtraArgs={"ChecksumAlgorithm": name})
        cut = [data[: 8 << 20], data[8 << 20 :]]
        kind = "FULL_OBJECT" if name == "CRC64NVME" else "COMPOSITE"
        assert s3.head_object(**HERE, ChecksumMode="ENABLED")[f"Checksum{name}"] == whole(name, kind, cut)
        found = io.BytesIO()
        s3.download_fileobj("box", "x", found)
        assert found.getvalue() == data

    def test_the_usual_type(self, s3: Any) -> None:
        for name in ALGORITHMS:
            expected = "FULL_OBJECT" if name == "CRC64NVME" else "COMPOSITE"
            assert multipart(s3, [b"one"], name, None)["ChecksumType"] == expected

    def test_without_an_algorithm(self, s3: Any, parts: list[bytes], refused: Refused) -> None:
        """The parts may have any, which the end may name; the whole has the default one."""
        upload = HERE | {"UploadId": s3.create_multipart_upload(**HERE)["UploadId"]}
        sent = [s3.upload_part(**upload, PartNumber=number, Body=data) for number, data in enumerate(parts, 1)]
        crcs = [base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode() for data in parts]
        assert [each["ChecksumCRC32"] for each in sent] == crcs
        pairs = zip(range(1, 4), sent, crcs, strict=True)
        done = [{"PartNumber": n, "ETag": each["ETag"], "ChecksumCRC32": crc} for n, each, crc in pairs]
        wrong = {"MultipartUpload": {"Parts": [done[0] | {"ChecksumCRC32": crcs[1]}, *done[1:]]}}
        assert refused(s3.complete_multipart_upload, **upload, **wrong) == ("InvalidPart", 400)
        answer = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
        assert answer["ChecksumCRC64NVME"] == value("CRC64NVME", b"".join(parts))
        assert answer["ChecksumType"] == "FULL_OBJECT"

    def test_of_copied_parts(self, s3: Any, parts: list[bytes]) -> None:
        s3.put_object(Bucket="box", Key="source", Body=parts[0])
        upload = HERE | {"UploadId": s3.create_multipart_upload(**HERE, ChecksumAlgorithm="SHA256")["UploadId"]}
        copied = s3.upload_part_copy(**upload, PartNumber=1, CopySource="box/source", CopySourceRange="bytes=5-1004")
        result = copied["CopyPartResult"]
        assert result["ChecksumSHA256"] == value("SHA256", parts[0][5:1005])
        part = {"PartNumber": 1, "ETag": result["ETag"], "ChecksumSHA256": result["ChecksumSHA256"]}
        answer = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
        assert answer["ChecksumSHA256"] == whole("SHA256", "COMPOSITE", [parts[0][5:1005]])

    def test_of_a_copy(self, s3: Any, parts: list[bytes]) -> None:
        etag = multipart(s3, parts, "CRC32", "COMPOSITE")["ETag"]
        copy = {"Bucket": "box", "Key": "y", "CopySource": "box/x"}
        same = s3.copy_object(**copy)["CopyObjectResult"]
        assert (same["ETag"], same["ChecksumCRC32"]) == (etag, whole("CRC32", "COMPOSITE", parts))
        assert s3.get_object(Bucket="box", Key="y", PartNumber=3)["Body"].read() == parts[2]
        asked = s3.copy_object(**copy, ChecksumAlgorithm="CRC32")["CopyObjectResult"]
        assert (asked["ChecksumCRC32"], asked["ChecksumType"]) == (value("CRC32", b"".join(parts)), "FULL_OBJECT")

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"ChecksumAlgorithm": "SHA3"}, "InvalidRequest"),
            ({"ChecksumType": "COMPOSITE"}, "InvalidRequest"),
            ({"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}, "InvalidRequest"),
            ({"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"}, "InvalidRequest"),
            ({"ChecksumAlgorithm": "CRC32", "ChecksumType": "HALF"}, "InvalidRequest"),
        ],
    )
    def test_what_cannot_be_begun(self, s3: Any, refused: Refused, members: dict[str, str], code: str) -> None:
        assert refused(s3.create_multipart_upload, **HERE, **members) == (code, 400)

    @pytest.mark.parametrize(
        ("whole_members", "part_members", "code"),
        [
            ({"ChecksumSHA256": "bad"}, {}, "BadDigest"),
            ({"ChecksumSHA256": value("SHA256", b"small") + "-1"}, {}, "BadDigest"),
            ({"ChecksumCRC32": "AAAAAA=="}, {}, "InvalidRequest"),
            ({"ChecksumType": "FULL_OBJECT"}, {}, "BadDigest"),
            ({"MpuObjectSize": 4}, {}, "InvalidRequest"),
            ({}, {"ChecksumSHA256": value("SHA256", b"other")}, "InvalidPart"),
            ({}, {"ChecksumSHA1": value("SHA1", b"small")}, "InvalidRequest"),
            ({}, {"ChecksumSHA256": value("SHA256", b"small"), "PartNumber": 2}, "InvalidPartOrder"),
        ],
    )
    def test_what_does_not_match_changes_nothing(
        self, s3: Any, refused: Refused, whole_members: dict[str, Any], part_members: dict[str, Any], code: str
    ) -> None:
        upload = HERE | {"UploadId": s3.create_multipart_upload(**HERE, ChecksumAlgorithm="SHA256")["UploadId"]}
        small = {"Body": b"small", "ChecksumAlgorithm": "SHA256"}
        etags = [s3.upload_part(**upload, PartNumber=number, **small)["ETag"] for number in (1, 2)]
        part = {"PartNumber": 1, "ETag": etags[0]} | part_members
        asked = {"MultipartUpload": {"Parts": [part]}} | whole_members
        assert refused(s3.complete_multipart_upload, **upload, **asked) == (code, 400)
        assert len(s3.list_parts(**upload)["Parts"]) == 2
        good = {"PartNumber": 1, "ETag": etags[0], "ChecksumSHA256": value("SHA256", b"small")}
        first = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [good]})
        again = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [good]})
        assert first["ChecksumSHA256"] == again["ChecksumSHA256"] == whole("SHA256", "COMPOSITE", [b"small"])

    def test_a_part_by_another_algorithm(self, s3: Any, refused: Refused) -> None:
        upload = HERE | {"UploadId": s3.create_multipart_upload(**HERE, ChecksumAlgorithm="SHA256")["UploadId"]}
        part = {"PartNumber": 1, "Body": b"x", "ChecksumAlgorithm": "CRC32"}
        assert refused(s3.upload_part, **upload, **part) == ("InvalidRequest", 400)
        # One that came without any is summed up here.
        assert "Parts" not in s3.list_parts(**upload)


def test_parts_of_an_older_home(s3: Any, store: LocalStore) -> None:
    """An upload that went on over the change of versions: its parts have no checksums, so the object has none."""
    upload = HERE | {"UploadId": s3.create_multipart_upload(**HERE)["UploadId"]}
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"content")["ETag"]
    (part,) = (store.staging / upload["UploadId"]).rglob("00001.*")
    part.rename(part.with_suffix(""))
    note = store.staging / upload["UploadId"] / "upload.json"
    note.write_text(note.read_text().replace(', "algorithm": "", "kind": ""', ""))
    assert "algorithm" not in note.read_text()
    answer = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert not [name for name in answer if name.startswith("Checksum")]
    assert s3.get_object(**HERE)["Body"].read() == b"content"


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes are kept on Linux only")
@pytest.mark.parametrize("name", ["CRC32", "CRC64NVME"])
def test_the_record_of_a_plain_object_fits_into_an_inode(s3: Any, store: LocalStore, name: str) -> None:
    """ext4 keeps attributes of up to 128 bytes there; a longer one costs each object a block and each read a look."""
    put(s3, name, bytes(1_000_000))
    assert len(os.getxattr(store.root / "box" / "x", OBJECT)) <= 128
