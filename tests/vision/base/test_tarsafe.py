"""The tar reader against honest, damaged and hostile archives."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import ArtifactError, DataError
from clary.vision.base.tarsafe import Limits, checked_members, extract

LIMITS = Limits(members=50, file_bytes=1 << 20, total_bytes=1 << 21, depth=4)


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def tar_of(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def tar_of_files(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    return tar_of(*((entry(name, size=len(data)), data) for name, data in files.items()), format=format)


def read_all(data: bytes, limits: Limits = LIMITS, **options: object) -> dict[str, bytes]:
    found = checked_members(io.BytesIO(data), limits, where="a.tar", **options)  # type: ignore[arg-type]
    return {str(member.name): member.read() for member in found}


def refused(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(DataError) as caught:
        read_all(data, limits)
    line = str(caught.value)
    assert line.startswith("a.tar: ")
    assert line.isprintable()
    assert caught.value.hint
    return line


class TestHonestArchives:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
    @pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    def test_files_come_back(self, pack, format):
        files = {
            "./a.txt": b"one",
            "sub/b.bin": bytes(range(256)) * 20,
            "sub/empty": b"",
            "x" * 90 + "/" + "y" * 90: b"1",
        }
        expected = {name.removeprefix("./"): data for name, data in files.items()}
        assert read_all(pack(tar_of_files(files, format))) == expected

    def test_extracts_files_and_folders(self, tmp_path):
        archive = tmp_path / "a.tar.gz"
        members = [(entry("./", tarfile.DIRTYPE), b""), (entry("d/e", tarfile.DIRTYPE), b"")]
        archive.write_bytes(gzip.compress(tar_of(*members, (entry("d/f", size=3), b"abc"))))
        seen: list[int] = []
        assert extract(archive, tmp_path / "out", LIMITS, progress=seen.append) == [PurePosixPath("d/f")]
        assert (tmp_path / "out/d/e").is_dir()
        assert (tmp_path / "out/d/f").read_bytes() == b"abc"
        assert sum(seen) == 3

    def test_the_root_may_have_no_name(self):
        root = entry("/", tarfile.DIRTYPE)  # what SageMaker's SDK writes when it repacks a model
        assert read_all(tar_of((root, b""), (entry("f", size=1), b"x"))) == {"f": b"x"}

    def test_mode_and_time_of_the_archive_are_not_taken(self, tmp_path):
        info = entry("run.sh", size=1)
        info.mode, info.mtime = 0o6777, 1
        archive = tmp_path / "a.tar"
        archive.write_bytes(tar_of((info, b"x")))
        extract(archive, tmp_path / "out", LIMITS)
        state = (tmp_path / "out/run.sh").stat()
        assert not state.st_mode & 0o6111
        assert state.st_mtime > 1

    def test_content_may_be_left_unread(self):
        data = tar_of_files({"a": b"x" * 100_000, "b": b"y" * 512, "c": b"z"})
        members = checked_members(io.BytesIO(data), LIMITS)
        assert [member.read() for member in members if str(member.name) == "c"] == [b"z"]

    def test_content_is_read_once(self):
        for member in checked_members(io.BytesIO(tar_of_files({"a": b"x"})), LIMITS):
            assert member.read() == b"x"
            with pytest.raises(ValueError, match="read before"):
                member.read()

    def test_an_unseekable_stream_will_do(self):
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as end:
            end.write(tar_of_files({"a": b"hello"}))
        with os.fdopen(reading, "rb") as stream:
            assert [member.read() for member in checked_members(stream, LIMITS)] == [b"hello"]


class TestHostileMembers:
    @pytest.mark.parametrize(
        "name",
        [
            "/etc/passwd",
            "../a",
            "a/../../b",
            "a\\b",
            "C:/a",
            "c:",
            "a\nb",
            "a\x1b[2J",
            "a/" * 5 + "f",
            "é" * 200,
            "bad\udcff",
            "/".join(["n" * 250] * 4) + "/" + "n" * 30,
        ],
    )
    def test_unsafe_names(self, name):
        assert "unsafe name" in refused(tar_of_files({name: b""}))

    @pytest.mark.parametrize(
        ("kind", "word"),
        [
            (tarfile.SYMTYPE, "link"),
            (tarfile.LNKTYPE, "link"),
            (tarfile.CHRTYPE, "device"),
            (tarfile.BLKTYPE, "device"),
            (tarfile.FIFOTYPE, "pipe"),
            (b"Z", "neither"),
        ],
    )
    def test_only_files_and_folders(self, kind, word):
        data = tar_of((entry("good", size=1), b"x"), (entry("bad", kind, link="good"), b""))
        assert word in refused(data)

    def test_sparse_files(self):
        info = entry("holes", size=0)
        info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,1,9999,1", "GNU.sparse.size": "10000"}
        assert "sparse" in refused(tar_of((info, b"")))

    def test_symlink_then_file_through_it_writes_nothing_outside(self, tmp_path):
        archive = tmp_path / "a.tar"
        link = entry("way", tarfile.SYMTYPE, link=str(tmp_path / "outside"))
        archive.write_bytes(tar_of((link, b""), (entry("way/f", size=1), b"x")))
        (tmp_path / "outside").mkdir()
        with pytest.raises(DataError, match="a link"):
            extract(archive, tmp_path / "out", LIMITS)
        assert list((tmp_path / "outside").iterdir()) == []

    @pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a"), ("a", "a//b")])
    def test_one_place_twice(self, names):
        assert "twice" in refused(tar_of(*((entry(name), b"") for name in names)))

    def test_nothing_is_written_over(self, tmp_path):
        archive = tmp_path / "a.tar"
        archive.write_bytes(tar_of_files({"f": b"new"}))
        (tmp_path / "out").mkdir()
        (tmp_path / "out/f").symlink_to(tmp_path / "secret")
        with pytest.raises(FileExistsError):
            extract(archive, tmp_path / "out", LIMITS)
        assert not (tmp_path / "secret").exists()

    def test_a_stranger_can_be_kept_out(self):
        data = tar_of_files({"a/ok": b"", "b/no": b""})
        with pytest.raises(ArtifactError, match=r"`b/no` does not belong"):
            read_all(data, allow=lambda name: name.parts[0] == "a", error=ArtifactError)


class TestLimits:
    def test_members(self):
        files = {f"f{i}": b"" for i in range(50)}
        assert len(read_all(tar_of_files(files))) == 50
        assert "more than 50 members" in refused(tar_of_files({**files, "one": b""}))

    def test_bytes_of_a_file(self):
        assert "allowed" in refused(tar_of_files({"big": bytes((1 << 20) + 1)}))

    def test_bytes_of_all_files(self):
        files = {f"f{i}": bytes(1 << 20) for i in range(2)}
        assert len(read_all(tar_of_files(files))) == 2
        assert "unpacks to more" in refused(tar_of_files({**files, "more": b"x"}))

    def test_a_bomb_is_seen_by_its_header(self):
        header = entry("bomb", size=1 << 40).tobuf(tarfile.GNU_FORMAT)
        assert "1,099,511,627,776 bytes" in refused(gzip.compress(header))

    def test_what_unpacks_to_a_hundred_times_its_size(self, tmp_path):
        header = entry("zeros", size=300 << 20).tobuf(tarfile.GNU_FORMAT)
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header + bytes(1 << 20)))
        with pytest.raises(DataError, match="unpacks to more than 268,435,456 bytes"):
            extract(tmp_path / "a.tar.gz", tmp_path / "out", Limits(50, 1 << 40, 1 << 40))
        assert list((tmp_path / "out").iterdir()) == []

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
    def test_a_huge_header_costs_no_memory(self, kind):
        size = 64 << 20
        data = gzip.compress(entry("x", kind, size=size).tobuf(tarfile.GNU_FORMAT) + bytes(size))
        tracemalloc.start()
        try:
            assert "claims too much" in refused(data)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()

    def test_endless_headers(self):
        header = entry("x", tarfile.XHDTYPE, size=512).tobuf(tarfile.USTAR_FORMAT) + bytes(512)
        assert "claims too much" in refused(header * 5000)

    def test_a_negative_size(self):
        for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            refused(entry("x", kind, size=-1024).tobuf(tarfile.GNU_FORMAT) + bytes(4096))

    def test_bytes_after_the_end(self):
        assert "goes on" in refused(gzip.compress(tar_of_files({"a": b""}) + bytes(2 << 20)))


class TestDamage:
    WHOLE = tar_of_files({"a": b"x" * 3000, "d/b": b"y" * 10})

    @pytest.mark.parametrize(
        "data", [b"", b"\x1f\x8b", b"\x1f", b"PK\x03\x04" * 300, b"x" * 2000, gzip.compress(b"no")]
    )
    def test_no_archive_at_all(self, data):
        refused(data)

    @pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
    def test_cut_off(self, pack, share):
        useful = self.WHOLE[: 512 * 10]  # with the first end block, without tar's padding
        data = pack(useful)
        refused(data[: int(len(data) * share)])

    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
    def test_garbage_after_the_end(self, pack):
        assert "goes on" in refused(pack(self.WHOLE + b"more"))

    def test_garbage_after_the_compressed_stream(self):
        refused(gzip.compress(self.WHOLE) + b"more")

    def test_a_broken_header_in_the_middle_is_not_the_end(self):
        data = bytearray(self.WHOLE)
        data[512 + 3072 + 150] ^= 0xFF  # checksum field of the second header
        assert "damaged" in refused(bytes(data))

    def test_the_checksum_of_gzip_is_read(self):
        data = bytearray(gzip.compress(self.WHOLE))
        data[-6] ^= 1
        assert "damaged" in refused(bytes(data))


CHANGES = st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=8)


class TestFuzz:
    @settings(max_examples=150, deadline=None)
    @given(CHANGES, st.booleans(), st.booleans())
    def test_changed_bytes_give_files_or_one_line(self, tmp_path_factory, changes, sparse, packed):
        info = entry("d/" + "n" * 120, size=700)
        if sparse:
            info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "700"}
        data = bytearray(tar_of((info, b"5\n0\n1\n" * 120), (entry("e", size=2), b"ab")))
        for place, value in changes:
            data[place % len(data)] = value
        self._opens_safely(tmp_path_factory, gzip.compress(bytes(data), 1) if packed else bytes(data))

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=1500))
    def test_any_bytes(self, tmp_path_factory, data):
        self._opens_safely(tmp_path_factory, data)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.text(max_size=12), st.sampled_from([b"0", b"5", b"2", b"1"])), max_size=5))
    def test_any_names(self, tmp_path_factory, names):
        members = [(entry(name, kind, link="a"), b"") for name, kind in names if _can_be_packed(name)]
        self._opens_safely(tmp_path_factory, tar_of(*members))

    @staticmethod
    def _opens_safely(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        place = tmp_path_factory.mktemp("fuzz")
        (place / "a.tar").write_bytes(data)
        line = ""
        try:
            files = extract(place / "a.tar", place / "in" / "out", LIMITS)
        except DataError as error:
            line, files = str(error), []
        assert "\n" not in line
        assert all((place / "in/out" / name).is_file() for name in files)
        assert {path.name for path in place.iterdir()} <= {"a.tar", "in"}
        assert {path.name for path in (place / "in").iterdir()} == {"out"}
        assert not any(path.is_symlink() for path in Path(place).rglob("*"))


def _can_be_packed(name: str) -> bool:
    return bool(name) and not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)
