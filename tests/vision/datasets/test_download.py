"""Fetching the official archives, from a real server on loopback and from folders."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clary.errors import ClaryError, DataError, UsageError
from clary.vision.datasets import download
from clary.vision.datasets.download import fetch_oxford_pets
from clary.vision.datasets.transfer import TransferError, read_small
from clary.vision.datasets.transfer import download as fetch

NOW = (0.0, 0.0)  # pauses: two new tries, at once


def archive_of(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


NOISE = hashlib.shake_256(b"pixels").digest(300_000)  # does not compress, so that the archive can be cut
IMAGES = archive_of(("images/Cat_1.jpg", NOISE), ("images/._Cat_1.jpg", b"left over"))
ANNOTATIONS = archive_of(("./annotations/list.txt", b"Cat_1 1 1 1\n"), ("._annotations", b"left over"))
BOTH = {"images.tar.gz": IMAGES, "annotations.tar.gz": ANNOTATIONS}


@dataclass
class Site:
    """A small web site: its files, and how it behaves."""

    files: dict[str, bytes]
    ranges: bool = True
    etag: str = '"one"'
    date: str = ""
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers break off
    statuses: list[int] = field(default_factory=list)  # what the next requests get instead of an answer
    lie: str = ""  # a wrong Content-Range
    length: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, name, span = self.site, self.path.rpartition("/")[2], self.headers["Range"]
        self.site.asked.append((name, span))
        if name in site.files and site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        if name not in site.files:
            self.send_error(404)
            return
        data, start = site.files[name], 0
        version = site.etag or site.date
        if span and site.ranges and self.headers["If-Range"] in (None, version):
            start = int(span.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", site.lie or f"bytes {start}-{len(data) - 1}/{len(data)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.date:
            self.send_header("Last-Modified", site.date)
        if site.length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + site.cuts.pop(0) if site.cuts and name == "images.tar.gz" else len(data)
        self.wfile.write(data[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site(dict(BOTH))
    handler = type("SiteHandler", (Handler,), {"site": found})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        found.address = f"http://127.0.0.1:{server.server_address[1]}/pets/"
        yield found
        server.shutdown()
        thread.join()


def fetched(directory: Path, source: str, **options: object) -> list[str]:
    notes: list[str] = []
    options = {"pauses": NOW, "note": notes.append, **options}
    assert fetch_oxford_pets(directory, source, **options) == directory  # type: ignore[arg-type]
    assert (directory / "images/Cat_1.jpg").read_bytes() == NOISE
    assert (directory / "annotations/list.txt").read_bytes() == b"Cat_1 1 1 1\n"
    return notes


def nothing_at(directory: Path) -> None:
    """No set, and nothing half-written beside it but a download to go on with."""
    assert not directory.exists()
    assert {path.name for path in directory.parent.iterdir()} <= {f".{directory.name}.download"}


class TestFromAddress:
    def test_fetches_and_unpacks(self, site, tmp_path):
        seen: list[tuple[str, int, int | None]] = []
        fetched(tmp_path / "pets", site.address, progress=lambda *now: seen.append(now))
        assert ("images.tar.gz", len(IMAGES), len(IMAGES)) in seen
        assert ("unpacking images.tar.gz", len(NOISE) + 9, len(NOISE) + 9) in seen
        assert {path.name for path in tmp_path.iterdir()} == {"pets"}
        assert {path.name for path in (tmp_path / "pets").iterdir()} == {"images", "annotations"}

    def test_the_slash_at_the_end_may_be_left_out(self, site, tmp_path):
        fetched(tmp_path / "pets", site.address.rstrip("/"))

    def test_archives_can_be_kept(self, site, tmp_path):
        fetched(tmp_path / "pets", site.address, keep_archives=True)
        assert (tmp_path / "pets/images.tar.gz").read_bytes() == IMAGES

    def test_a_set_that_is_there_is_left_alone(self, site, tmp_path):
        fetched(tmp_path / "pets", site.address)
        site.asked.clear()
        fetched(tmp_path / "pets", site.address)
        assert site.asked == []

    def test_a_folder_with_other_things_is_refused(self, site, tmp_path):
        (tmp_path / "mine.txt").touch()
        with pytest.raises(UsageError, match="not empty"):
            fetch_oxford_pets(tmp_path, site.address)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_an_empty_folder_is_filled(self, site, tmp_path):
        (tmp_path / "pets").mkdir()
        fetched(tmp_path / "pets", site.address)


class TestResume:
    def test_a_broken_connection_is_taken_up(self, site, tmp_path):
        site.cuts = [100_000, 50_000]
        fetched(tmp_path / "pets", site.address)
        spans = [span for name, span in site.asked if name == "images.tar.gz"]
        assert spans == [None, "bytes=100000-", "bytes=150000-"]

    def test_progress_resets_the_count_of_tries(self, site, tmp_path):
        site.cuts = [20_000] * 12
        fetched(tmp_path / "pets", site.address)
        assert len(site.asked) > 10

    def test_a_server_without_ranges_starts_again(self, site, tmp_path):
        site.ranges, site.cuts = False, [100_000]
        fetched(tmp_path / "pets", site.address)

    def test_a_server_without_ranges_that_always_breaks_is_given_up(self, site, tmp_path):
        site.ranges, site.cuts = False, [100_000] * 20
        with pytest.raises(TransferError, match=r"gave up, the connection closed at 100,000 of 300,\d+ bytes"):
            fetch_oxford_pets(tmp_path / "pets", site.address, pauses=NOW)
        assert len([name for name, _ in site.asked if name == "images.tar.gz"]) == 3
        nothing_at(tmp_path / "pets")

    def test_the_next_run_goes_on(self, site, tmp_path):
        site.cuts = [100_000, 0, 0, 0]
        with pytest.raises(TransferError, match="it goes on from there"):
            fetch_oxford_pets(tmp_path / "pets", site.address, pauses=NOW)
        nothing_at(tmp_path / "pets")
        site.cuts, site.asked = [], []
        fetched(tmp_path / "pets", site.address)
        assert ("images.tar.gz", "bytes=100000-") in site.asked
        assert "annotations.tar.gz" not in dict(site.asked)

    def test_a_file_that_changed_meanwhile_is_fetched_whole(self, site, tmp_path):
        site.files["images.tar.gz"] = bytes(len(IMAGES))
        site.cuts = [100_000, 0, 0, 0]
        with pytest.raises(TransferError):
            fetch_oxford_pets(tmp_path / "pets", site.address, pauses=NOW)
        site.files["images.tar.gz"], site.etag, site.cuts = IMAGES, '"two"', []
        fetched(tmp_path / "pets", site.address)

    @pytest.mark.parametrize(
        ("etag", "date", "resumes"),
        [("", "Sat, 01 Jan 2022 00:00:00 GMT", True), ('W/"weak"', "", False), ("", "", False)],
    )
    def test_what_names_a_version(self, site, tmp_path, etag, date, resumes):
        site.etag, site.date, site.cuts = etag, date, [100_000]
        fetched(tmp_path / "pets", site.address)
        assert (("images.tar.gz", "bytes=100000-") in site.asked) == resumes

    @pytest.mark.parametrize("lie", ["bytes 7-300000/300001", "bytes 100000-300000/999999999", "nonsense"])
    def test_an_answer_with_another_part_is_not_used(self, site, tmp_path, lie):
        site.lie, site.cuts = lie, [100_000]
        fetched(tmp_path / "pets", site.address)

    def test_a_part_from_elsewhere_is_not_used(self, site, tmp_path):
        (tmp_path / "a.part").write_bytes(b"other")
        (tmp_path / "a.part.json").write_text('{"url": "http://other/a", "validator": "\\"one\\"", "total": 9}')
        site.files["a"] = b"123456789"
        assert fetch(site.address + "a", tmp_path / "a").read_bytes() == b"123456789"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_a_file_that_became_shorter_is_fetched_whole(self, site, tmp_path):
        site.files["a"] = b"123"
        (tmp_path / "a.part").write_bytes(b"other")
        (tmp_path / "a.part.json").write_text(f'{{"url": "{site.address}a", "validator": "\\"one\\"", "total": 9}}')
        assert fetch(site.address + "a", tmp_path / "a", pauses=NOW).read_bytes() == b"123"

    @pytest.mark.parametrize(
        "memory",
        ["", "{", "[]", "null", '{"url": 3}', '{"url": "URL"}']
        + [f'{{"url": "URL", "validator": "", "total": {total}}}' for total in ("3", "null", '"x"', "[]")],
    )
    def test_a_memory_that_makes_no_sense_is_none(self, site, tmp_path, memory):
        (tmp_path / "a.part").write_bytes(b"other")
        (tmp_path / "a.part.json").write_text(memory.replace("URL", f"{site.address}a"))
        site.files["a"] = b"123456789"
        assert fetch(site.address + "a", tmp_path / "a").read_bytes() == b"123456789"

    def test_a_server_that_gives_no_length(self, site, tmp_path):
        site.length = False
        fetched(tmp_path / "pets", site.address)

    def test_a_busy_server_is_asked_again(self, site, tmp_path):
        site.statuses = [503, 429]
        fetched(tmp_path / "pets", site.address)


class TestFailure:
    def test_not_found(self, site, tmp_path):
        del site.files["annotations.tar.gz"]
        with pytest.raises(TransferError, match=r"annotations\.tar\.gz: the server answers 404 .*--from") as caught:
            fetch_oxford_pets(tmp_path / "pets", site.address, pauses=NOW)
        assert caught.value.status == 404
        assert len([name for name, _ in site.asked if name == "annotations.tar.gz"]) == 1
        nothing_at(tmp_path / "pets")

    def test_no_server(self, site, tmp_path):
        closed = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        port = closed.server_address[1]
        closed.server_close()
        with pytest.raises(TransferError, match=r"cannot be reached.*check the address"):
            fetch_oxford_pets(tmp_path / "pets", f"http://127.0.0.1:{port}/", pauses=NOW)
        nothing_at(tmp_path / "pets")

    def test_no_such_host(self, tmp_path):
        with pytest.raises(TransferError, match=r"cannot be reached.*no such host, or no network"):
            fetch_oxford_pets(tmp_path / "pets", "http://no-such-host.invalid/", pauses=NOW)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("address", ["http://", "http://[::1", "http:///x", "https://127.0.0.1:0/"])
    def test_an_address_that_is_none(self, tmp_path, address):
        with pytest.raises(UsageError):
            fetch_oxford_pets(tmp_path / "pets", address, pauses=())

    def test_the_second_official_address_is_asked_after_the_first(self, site, tmp_path, monkeypatch):
        official = tuple(
            download.Archive(one.name, one.folder, hashlib.md5(BOTH[one.name]).hexdigest(), one.limits)
            for one in download.ARCHIVES
        )
        monkeypatch.setattr(download, "ARCHIVES", official)
        monkeypatch.setattr(download, "ADDRESSES", ("http://no-such-host.invalid/", site.address))
        assert fetch_oxford_pets(tmp_path / "pets", pauses=NOW) == tmp_path / "pets"
        assert (tmp_path / "pets/images/Cat_1.jpg").read_bytes() == NOISE

    def test_official_archives_must_be_the_official_ones(self, site, tmp_path, monkeypatch):
        monkeypatch.setattr(download, "ADDRESSES", (site.address,))
        with pytest.raises(
            DataError, match=r"annotations\.tar\.gz: is damaged or not what it should be .*fetch it again"
        ):
            fetch_oxford_pets(tmp_path / "pets", pauses=NOW)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_made(self, site, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="cannot be written"):
            fetch_oxford_pets(tmp_path / "file" / "pets", site.address, pauses=NOW)

    def test_more_than_the_disk_holds(self, site, tmp_path):
        part = tmp_path / "a.part"
        part.write_bytes(b"1")
        (tmp_path / "a.part.json").write_text(
            f'{{"url": "{site.address}a", "validator": "\\"one\\"", "total": {1 << 60}}}'
        )
        site.files["a"], site.lie = b"1234", f"bytes 1-3/{1 << 60}"
        with pytest.raises(UsageError, match=r"needs [\d,]+ bytes, [\d,]+ are free"):
            fetch(site.address + "a", tmp_path / "a", pauses=NOW)
        assert part.exists()


class TestChecksums:
    def test_other_bytes_are_noted(self, site, tmp_path):
        notes = fetched(tmp_path / "pets", site.address)
        assert [note.split(":")[0] for note in notes] == ["annotations.tar.gz", "images.tar.gz"]

    @staticmethod
    def sums(**wrong: str) -> bytes:
        lines = [f"{wrong.get(name[:6]) or hashlib.sha256(data).hexdigest()} *{name}" for name, data in BOTH.items()]
        return "\n".join([*lines, ""]).encode()

    def test_a_file_of_checksums_vouches(self, site, tmp_path):
        site.files["SHA256SUMS"] = self.sums()
        assert fetched(tmp_path / "pets", site.address) == []

    def test_a_file_of_checksums_is_honoured(self, site, tmp_path):
        site.files["SHA256SUMS"] = self.sums(images="0" * 64)
        with pytest.raises(DataError, match=r"images\.tar\.gz: is damaged .*SHA256SUMS says 0000"):
            fetch_oxford_pets(tmp_path / "pets", site.address, pauses=NOW)
        nothing_at(tmp_path / "pets")
        site.files["SHA256SUMS"] = self.sums()
        fetched(tmp_path / "pets", site.address)

    @pytest.mark.parametrize("text", [b"nonsense", b"0123 images.tar.gz", b"\n" + b"0" * 64, b"\xff" * 70 + b"  a"])
    def test_a_file_that_holds_none(self, site, tmp_path, text):
        site.files["SHA256SUMS"] = text
        with pytest.raises(DataError, match=r"SHA256SUMS:\d+: is no line of checksums"):
            fetch_oxford_pets(tmp_path / "pets", site.address, pauses=NOW)

    def test_the_sums_are_those_of_torchvision(self):
        torchvision = importlib.util.find_spec("torchvision")
        if torchvision is None or torchvision.origin is None:
            pytest.skip("needs torchvision's source")
        text = Path(torchvision.origin).with_name("datasets").joinpath("oxford_iiit_pet.py").read_text()
        found = re.findall(r'/(\w+\.tar\.gz)", "([0-9a-f]{32})"', text)
        assert dict(found) == {one.name: one.md5 for one in download.ARCHIVES}


class TestUnsafeArchives:
    @pytest.mark.parametrize(
        "member",
        [
            ("../escaped.txt", b"x"),
            ("/tmp/escaped.txt", b"x"),
            ("images/../../escaped.txt", b"x"),
            ("elsewhere/a.txt", b"x"),
            ("annotations/list.txt", b"not in this archive"),
            ("loose.txt", b"x"),
        ],
    )
    def test_members_outside(self, site, tmp_path, member):
        site.files["images.tar.gz"] = archive_of(("images/Cat_1.jpg", b"x"), member)
        self.is_refused(site, tmp_path)

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
    def test_links(self, site, tmp_path, kind):
        link = tarfile.TarInfo("images/link")
        link.type, link.linkname = kind, "../../outside"
        site.files["images.tar.gz"] = archive_of(("images/Cat_1.jpg", b"x"), link)
        self.is_refused(site, tmp_path)

    @pytest.mark.parametrize("data", [b"", b"no archive", IMAGES[:-9], IMAGES[: len(IMAGES) // 2]])
    def test_damage(self, site, tmp_path, data):
        site.files["images.tar.gz"] = data
        self.is_refused(site, tmp_path)

    def test_a_set_without_its_list(self, site, tmp_path):
        site.files["annotations.tar.gz"] = archive_of(("annotations/readme", b""))
        self.is_refused(site, tmp_path)

    @staticmethod
    def is_refused(site: Site, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            fetch_oxford_pets(tmp_path / "deep/pets", site.address, pauses=NOW, note=lambda _: None)
        assert "\n" not in str(caught.value)
        assert caught.value.hint
        assert list((tmp_path / "deep").iterdir()) == []
        assert [path.name for path in tmp_path.iterdir()] == ["deep"]


class TestFromFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        place = tmp_path / "by-hand"
        place.mkdir()
        for name, data in BOTH.items():
            (place / name).write_bytes(data)
        return place

    def test_archives(self, folder, tmp_path):
        notes = fetched(tmp_path / "pets", str(folder))
        assert len(notes) == 2
        assert len(list(folder.iterdir())) == 2

    def test_checksums(self, folder, tmp_path):
        (folder / "SHA256SUMS").write_bytes(TestChecksums.sums(images="f" * 64))
        with pytest.raises(DataError, match="SHA256SUMS says ffff"):
            fetch_oxford_pets(tmp_path / "pets", str(folder))
        assert (folder / "images.tar.gz").exists()

    def test_an_unpacked_set(self, folder, tmp_path):
        fetched(tmp_path / "first", str(folder))
        seen: list[str] = []
        assert fetched(tmp_path / "second", str(tmp_path / "first"), progress=lambda what, *_: seen.append(what)) == []
        assert set(seen) == {"copying images", "copying annotations"}

    @pytest.mark.parametrize("missing", ["images.tar.gz", "annotations.tar.gz"])
    def test_one_archive_only(self, folder, tmp_path, missing):
        (folder / missing).unlink()
        with pytest.raises(UsageError, match=re.escape(missing)):
            fetch_oxford_pets(tmp_path / "pets", str(folder))

    @pytest.mark.parametrize("source", ["", "nowhere", "ftp://host/pets", "file:///pets"])
    def test_no_folder(self, tmp_path, source):
        with pytest.raises(ClaryError) as caught:
            fetch_oxford_pets(tmp_path / "pets", source and str(tmp_path / source))
        assert "\n" not in str(caught.value)
        nothing_at(tmp_path / "pets")


class TestSmallFiles:
    def test_there_and_not_there(self, site):
        site.files["small"] = b"x" * 100
        assert read_small(site.address + "small", 10) == b"x" * 10
        assert read_small(site.address + "none") is None

    def test_a_server_in_trouble(self, site):
        site.statuses, site.files["small"] = [500], b""
        with pytest.raises(TransferError, match="500"):
            read_small(site.address + "small")
