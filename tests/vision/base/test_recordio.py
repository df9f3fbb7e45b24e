from __future__ import annotations

import io
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import DataError
from clary.vision.base import recordio
from clary.vision.base.recordio import LIMIT, MAGIC, ImageRecord, frame, pack, read_records, scan, unpack, write_record

# Bytes in which the magic is as likely as anything else, at any alignment.
piece = st.one_of(st.just(MAGIC), st.just(MAGIC[:2]), st.binary(max_size=9), st.just(b"\0\0\0\0"))
payload = st.lists(piece, max_size=8).map(b"".join)
payloads = st.lists(payload, max_size=6)


def file_of(found: list[bytes], folder: Path) -> Path:
    path = folder / "a.rec"
    with path.open("wb") as file:
        for one in found:
            write_record(file, one)
    return path


class TestCheckValues:
    """The values of the specification, computed by hand."""

    def test_a_payload_that_holds_the_magic(self) -> None:
        wanted = "0a23d7ce 04000020 5758595a 0a23d7ce 02000060 61620000"
        found = bytes.fromhex("5758595a 0a23d7ce 6162")
        assert frame(found) == bytes.fromhex(wanted)
        assert list(read_records(io.BytesIO(bytes.fromhex(wanted)))) == [found]

    def test_an_image_record(self) -> None:
        wanted = "0a23d7ce 1d000000 00000000 00004040 0700000000000000 0000000000000000 6162636465 000000"
        record = ImageRecord((3.0,), 7, b"abcde")
        assert frame(pack(record)) == bytes.fromhex(wanted)
        assert unpack(next(read_records(io.BytesIO(bytes.fromhex(wanted))))) == record

    def test_an_image_record_of_several_labels(self) -> None:
        wanted = (
            "0a23d7ce 2e000000 05000000 00000000 0100000000000000 0000000000000000"
            "0000803f 00000000 0000803f 00000000 00000000 ffd8 0000"
        )
        record = ImageRecord((1.0, 0.0, 1.0, 0.0, 0.0), 1, b"\xff\xd8", vector=True)
        assert frame(pack(record)) == bytes.fromhex(wanted)
        assert unpack(next(read_records(io.BytesIO(bytes.fromhex(wanted))))) == record

    def test_a_vector_of_one_label_is_read(self) -> None:
        record = ImageRecord((2.0,), 1, b"x", vector=True)
        assert struct.unpack_from("<I", pack(record)) == (1,)
        assert unpack(pack(record)) == record


class TestRoundTrip:
    @settings(max_examples=150)
    @given(payloads)
    def test_streams(self, found: list[bytes]) -> None:
        stream = io.BytesIO()
        sizes = [write_record(stream, one) for one in found]
        assert sum(sizes) == len(stream.getvalue())
        assert all(size % 4 == 0 for size in sizes)
        stream.seek(0)
        assert list(read_records(stream)) == found

    @settings(max_examples=150)
    @given(payloads, st.integers(0, 30))
    def test_blobs_are_the_payloads_where_they_lie(
        self, tmp_path_factory: pytest.TempPathFactory, found: list[bytes], skip: int
    ) -> None:
        path = file_of(found, tmp_path_factory.mktemp("rec"))
        spans, faults = scan(path)
        assert faults == []
        assert [span.blob(path).read() for span in spans] == found
        assert [span.blob(path).size for span in spans] == [len(one) for one in found]
        for span, one in zip(spans, found, strict=True):
            skipped = min(skip, len(one))
            assert span.blob(path, skipped).read() == one[skipped:]

    @given(payloads)
    def test_the_magic_stands_aligned_at_the_start_of_parts_only(self, found: list[bytes]) -> None:
        data = b"".join(map(frame, found))
        starts = [at for at in range(0, len(data), 4) if data[at : at + 4] == MAGIC]
        position, walked = 0, []
        while position < len(data):
            walked.append(position)
            length = struct.unpack_from("<I", data, position + 4)[0] & (LIMIT - 1)
            position += 8 + length + -length % 4
        assert starts == walked

    @given(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9),
        st.integers(0, 2**64 - 1),
        st.binary(max_size=40),
    )
    def test_image_records(self, labels: list[float], id: int, image: bytes) -> None:
        record = ImageRecord(tuple(labels), id, image, vector=len(labels) > 1)
        assert unpack(pack(record)) == record

    def test_a_fifo_gives_records_in_pieces(self, tmp_path: Path) -> None:
        found = [bytes([number]) * 70_000 + MAGIC * 3 for number in range(5)]
        fifo = tmp_path / "train_0"
        os.mkfifo(fifo)

        def feed() -> None:
            data = b"".join(map(frame, found))
            with open(fifo, "wb", buffering=0) as file:
                for start in range(0, len(data), 1013):
                    file.write(data[start : start + 1013])

        writer = threading.Thread(target=feed)
        writer.start()
        with open(fifo, "rb", buffering=0) as stream:
            assert list(read_records(stream)) == found
        writer.join(10)


class TestDamage:
    def test_cut_at_every_byte(self, tmp_path: Path) -> None:
        found = [b"one", b"12345678" + MAGIC + b"tail", b"three!!"]
        data = b"".join(map(frame, found))
        ends = [0, *(len(b"".join(map(frame, found[: n + 1]))) for n in range(3))]
        for cut in range(len(data)):
            (tmp_path / "a.rec").write_bytes(data[:cut])
            spans, faults = scan(tmp_path / "a.rec")
            whole = sum(end <= cut for end in ends) - 1
            assert len(spans) in (whole, whole + 1)  # one more where only its padding is missing
            assert len(faults) == (cut not in ends)
            if cut in ends:
                assert list(read_records(io.BytesIO(data[:cut]))) == found[:whole]
            else:
                with pytest.raises(DataError, match=rf"^a\.rec: record {whole} at byte "):
                    list(read_records(io.BytesIO(data[:cut]), "a.rec"))

    def test_reading_goes_on_after_damage(self, tmp_path: Path) -> None:
        path = file_of([b"a" * 20, b"b" * 20, b"c" * 20], tmp_path)
        data = bytearray(path.read_bytes())
        data[28:32] = b"\x0a\x23\xd7\xcf"
        path.write_bytes(data)
        spans, [fault] = scan(path)
        assert [span.offset for span in spans] == [0, 56]
        assert str(fault) == "record 1 at byte 28 begins with 0a 23 d7 cf, not with the magic 0a 23 d7 ce"

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"\xff\xd8\xff\xe0JFIF....", "record 0 at byte 0 begins with ff d8 ff e0"),
            (MAGIC + b"\xff\xff\xff\x1f", "is cut off: 0 of 536870911 bytes are there"),
            (MAGIC + b"\x00\x00\x00\xe0", "has the continuation flag 7, which is none of 0 to 3"),
            (MAGIC + b"\x00\x00\x00\x40", "begins with a part of flag 2, not 0 or 1"),
            (MAGIC + b"\x00\x00\x00\x20", "its last part is missing"),
            (MAGIC + b"\x03\x00\x00\x20abc\0", "has a part of 3 bytes, not a multiple of 4"),
            (MAGIC + b"\x00\x00\x00\x20" + MAGIC + b"\x00\x00\x00\x00", "is not finished: another one begins"),
            (MAGIC[:3], "is cut off: 3 of 8 bytes of its header are there"),
        ],
    )
    def test_said_in_one_line(self, tmp_path: Path, data: bytes, said: str) -> None:
        (tmp_path / "a.rec").write_bytes(data)
        _, faults = scan(tmp_path / "a.rec")
        assert said in str(faults[0]) or "missing" in said
        if "536870911" not in said:
            with pytest.raises(DataError) as caught:
                list(read_records(io.BytesIO(data)))
            assert said in str(caught.value)

    @settings(max_examples=200)
    @given(payloads, st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=5)), max_size=4))
    def test_any_bytes(
        self, tmp_path_factory: pytest.TempPathFactory, found: list[bytes], edits: list[tuple[int, bytes]]
    ) -> None:
        data = bytearray(b"".join(map(frame, found)))
        for at, junk in edits:
            data[at : at + len(junk)] = junk
        path = tmp_path_factory.mktemp("rec") / "a.rec"
        path.write_bytes(data)
        spans, faults = scan(path)
        for span in spans:
            assert len(span.blob(path).read()) == span.length
        seen = []
        try:
            for one in read_records(io.BytesIO(bytes(data))):
                seen.append(one)
        except DataError:
            assert faults
        else:
            assert not faults
        assert [span.blob(path).read() for span in spans][: len(seen)] == seen

    @given(st.binary(max_size=80))
    def test_any_image_record(self, data: bytes) -> None:
        with suppress(DataError):
            assert data.endswith(unpack(data).image)

    def test_a_payload_that_is_too_long(self) -> None:
        class Long(bytes):
            def __len__(self) -> int:
                return LIMIT

        with pytest.raises(DataError, match="is too long"):
            frame(Long())


def test_scanning_reads_headers_only(tmp_path: Path) -> None:
    path = tmp_path / "sparse.rec"
    with path.open("wb") as file:
        for _ in range(200):
            file.write(MAGIC + struct.pack("<I", 1 << 24))
            file.seek(1 << 24, os.SEEK_CUR)
        file.truncate()
    spans, faults = scan(path)  # 3 GB of holes
    assert (len(spans), faults) == (200, [])
    assert recordio.Span(0, ((8, 1 << 24),)) == spans[0]


def test_more_labels_than_any_picture_has() -> None:
    count = 1_000_001
    head = struct.pack("<IfQQ", count, 0, 0, 0) + bytes(4 * count)
    with pytest.raises(DataError, match="says it has 1,000,001 labels, at most 1,000,000 are read"):
        unpack(head)
