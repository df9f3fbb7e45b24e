"""Every key that S3 takes, beside every other: a store against a dictionary."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from clary.control.objects.key_names import plain_parts
from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App

from .s3_calls import Calls

HOSTILE = [
    *("a", "a/b", "a/b/c", "a/", "a//", "a//b", "/", "//", "/a", "/etc/passwd", ".", "..", "./a", "a/..", "a/../b"),
    *("../out", "\x00", "a\x00b", "\n", "a\nb", "\x1b[31m", "\x7f", "x" * 255, "x" * 256, "x" * 1024, "é" * 512),
    *("/" * 300, "a/" * 150, "a" * 70, "a" * 70 + "/", "a" * 70 + "!", "a" * 70 + "/b", "a" * 71, "A", "é", "e\u0301"),
    *(".clary-keys", ".clary-keys/a", ".clary-keys/a/b", "a/.clary-keys/b", ".clary-part-1", "a/.clary-part-1/b"),
    *(
        ".staging",
        ".staging/a",
        "%",
        "%2F",
        "a+",
        "a+/b",
        "a~",
        "a!1-2",
        "!bucket",
        ".metadata-a",
        "\ufffe",
        "\U0010ffff",
    ),
    *(" ", "a ", "con", "clary/a", "\\", "a\\b", "&<>\"'", "?x#y", "*", "a.", ".a", "a/.b"),
]


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    store = LocalStore(tmp_path / "s3")
    store.create_bucket("box", "")
    found = Calls(S3App(store, account="000000000000", region="us-east-1"))
    yield found
    found.close()


class TestHostileKeys:
    @pytest.mark.parametrize("order", [1, -1])
    def test_stand_beside_each_other(self, calls: Calls, tmp_path: Path, order: int) -> None:
        for key in HOSTILE[::order]:
            assert calls.put(key, key.encode()).status == 200, key
        for key in HOSTILE:
            assert calls("GET", key).body == key.encode(), key
        # None of them left the folder of its bucket.
        assert sorted(path.name for path in tmp_path.iterdir()) == ["s3"]
        assert sorted(path.name for path in (tmp_path / "s3").iterdir()) == [".staging", "box"]
        assert calls.pages(max_keys="7").order == sorted(HOSTILE, key=str.encode)
        for key in HOSTILE[::2]:
            assert calls("DELETE", key).status == 204
        assert calls.pages().order == sorted(HOSTILE[1::2], key=str.encode)
        for key in HOSTILE[1::2]:
            calls("DELETE", key)
        assert list((tmp_path / "s3" / "box").iterdir()) == []

    @pytest.mark.parametrize("key", ["/" * 1024, "a/" * 511 + "ab"], ids=["encoded", "plain"])
    def test_a_thousand_folders_deep(self, calls: Calls, key: str) -> None:
        try:
            assert calls.put(key, b"1").status == 200
            assert calls.put("\0", b"1").status == 200
            assert calls.pages().order == sorted([key, "\0"])
            assert calls.pages(prefix=key[:1000], delimiter="/").order == [key[: key.index("/", 1000) + 1] or key]
            assert calls("GET", key).body == b"1"
        finally:  # no test framework deletes folders as deep
            calls("DELETE", key)
        assert calls.pages().order == ["\0"]

    def test_ordinary_keys_are_plain_files(self, calls: Calls, tmp_path: Path) -> None:
        for key in ("cat.jpg", "train/cats/1.jpg", "a b/ü.txt", "x/.hidden", "tab\there"):
            calls.put(key, b"1")
            assert (tmp_path / "s3" / "box" / key).read_bytes() == b"1"
        assert not (tmp_path / "s3" / "box" / ".clary-keys").exists()

    @pytest.mark.parametrize("size", [0, 5])
    def test_multipart_and_copies(self, calls: Calls, size: int) -> None:
        for key in ("a/", "a", "a/b//", "..", "\x00"):
            assert calls.upload(key, b"12345"[:size]).status == 200
            assert calls.copy(key, f"{key}/copy").status == 200
            assert calls("GET", f"{key}/copy").body == calls("GET", key).body == b"12345"[:size]

    def test_an_object_stays_where_it_is(self, calls: Calls, tmp_path: Path) -> None:
        calls.put("a", b"plain")
        calls.put("a/b", b"encoded")
        calls("DELETE", "a")
        calls.put("a/b", b"again")
        assert calls.pages().order == ["a/b"]
        assert not (tmp_path / "s3" / "box" / "a").exists()
        calls("DELETE", "a/b")
        calls.put("a/b", b"plain at last")
        assert (tmp_path / "s3" / "box" / "a" / "b").read_bytes() == b"plain at last"

    def test_a_folder_keeps_its_etag(self, calls: Calls) -> None:
        etag = calls.put("a/").etag
        calls.put("a/b", b"1")
        assert calls("HEAD", "a/").etag == calls.page().objects["a/"] == etag == hashlib.md5().hexdigest()

    def test_bytes_under_a_folder_and_back(self, calls: Calls, tmp_path: Path) -> None:
        calls.put("a/")
        assert (tmp_path / "s3" / "box" / "a").is_dir()
        calls.put("a/", b"bytes")
        assert (calls("GET", "a/").body, calls.pages().order) == (b"bytes", ["a/"])
        calls.put("a/")
        assert (calls("GET", "a/").body, calls.pages().order) == (b"", ["a/"])
        calls("DELETE", "a/")
        assert calls.pages().order == []

    def test_if_none_match_knows_both_places(self, calls: Calls) -> None:
        calls.put("a", b"1")
        calls.put("a/b", b"1")
        calls.put("c/", b"")
        for key in ("a", "a/b", "c/"):
            assert calls.put(key, b"2", if_none_match="*").status == 412
        assert calls.put("a/c", b"2", if_none_match="*").status == 200

    def test_a_bucket_with_encoded_keys_is_not_empty_until_they_are_deleted(self, calls: Calls, tmp_path: Path) -> None:
        calls.put("a//b", b"1", x_amz_meta_a="x" * 2000, cache_control="y" * 4000)
        assert calls("DELETE").status == 409
        calls("DELETE", "a//b")
        assert calls("DELETE").status == 204
        assert not (tmp_path / "s3" / "box").exists()


class TestByHand:
    def test_a_file_beside_an_encoded_one_counts(self, calls: Calls, tmp_path: Path) -> None:
        box = tmp_path / "s3" / "box"
        calls.put("a", b"1")
        calls.put("a/b", b"encoded")
        (box / "a").unlink()
        (box / "a").mkdir()
        (box / "a" / "b").write_bytes(b"by hand")
        assert calls.pages().order == ["a/b"]
        assert calls("GET", "a/b").body == b"by hand"
        calls.put("a/b", b"new")
        assert (box / "a" / "b").read_bytes() == b"new"
        assert not (box / ".clary-keys").exists()
        calls("DELETE", "a/b")
        assert calls("GET", "a/b").status == 404

    def test_both_are_deleted(self, calls: Calls, tmp_path: Path) -> None:
        calls.put("a", b"1")
        calls.put("a/b", b"encoded")
        calls("DELETE", "a")
        (tmp_path / "s3" / "box" / "a").mkdir()
        (tmp_path / "s3" / "box" / "a" / "b").write_bytes(b"by hand")
        calls("DELETE", "a/b")
        assert calls.pages().order == []

    def test_what_nobody_encoded_is_not_shown(self, calls: Calls, tmp_path: Path) -> None:
        calls.put("a//b", b"1")
        reserved = tmp_path / "s3" / "box" / ".clary-keys"
        for name in ("%61", "note.txt!", "é"):
            (reserved / name).write_bytes(b"")
        (reserved / "folder").mkdir()
        (reserved / "link+").symlink_to("/etc")
        assert calls.pages().order == ["a//b"]
        (reserved / "a+" / "+" / "b").unlink()
        assert calls.pages().order == []

    def test_the_reserved_folder_as_a_link_leads_nowhere(self, calls: Calls, tmp_path: Path) -> None:
        (tmp_path / "s3" / "box" / ".clary-keys").symlink_to(tmp_path)
        assert (calls.put("a//b", b"1").status, calls("GET", "a//b").status) == (400, 404)
        assert calls.pages().order == []
        assert [path.name for path in tmp_path.iterdir()] == ["s3"]


PIECES = ["a", "b", "/", "/", "//", ".", "..", "A", "\x00", "\n", "é", "%", "+", "~", "!", " ", "-", "0"]
PIECES += [".clary-keys", ".clary-part-", "a" * 70, "a" * 250, "a/b", "b/a/"]
KEYS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join) | st.sampled_from(HOSTILE)
BODIES = st.sampled_from([b"", b"1", b"22"])


class Model(RuleBasedStateMachine):
    """What a dictionary would answer is what the store answers."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.store = LocalStore(Path(self._folder.name) / "s3")
        self.store.create_bucket("box", "")
        self.calls = Calls(S3App(self.store, account="000000000000", region="us-east-1"))
        self.model: dict[str, tuple[bytes, str]] = {}  # bytes, and a header they were stored with

    def teardown(self) -> None:
        self.calls.close()
        self._folder.cleanup()

    @initialize(target=keys)
    def start(self) -> str:
        return "a"

    @rule(target=keys, key=KEYS, body=BODIES, kind=st.sampled_from(["image/png", "text/plain"]))
    def put(self, key: str, body: bytes, kind: str) -> str:
        assert self.calls.put(key, body, content_type=kind).status == 200
        self.model[key] = body, kind
        return key

    @rule(target=keys, key=keys, more=st.sampled_from(["/", "/a", "//", "!", "0"]), body=BODIES)
    def put_beside(self, key: str, more: str, body: bytes) -> str:
        beside = (key + more)[:200]
        self.put(beside, body, "text/css")
        return beside

    @rule(key=keys, body=BODIES)
    def put_again(self, key: str, body: bytes) -> None:
        self.put(key, body, "text/html")

    @rule(key=keys, body=BODIES)
    def put_new(self, key: str, body: bytes) -> None:
        answer = self.calls.put(key, body, content_type="a/b", if_none_match="*")
        assert answer.status == (412 if key in self.model else 200)
        self.model.setdefault(key, (body, "a/b"))

    @rule(key=keys, body=BODIES)
    def upload(self, key: str, body: bytes) -> None:
        assert self.calls.upload(key, body, content_type="c/d").status == 200
        self.model[key] = body, "c/d"

    @rule(source=keys, copy=keys)
    def copy(self, source: str, copy: str) -> None:
        answer = self.calls.copy(source, copy)
        if source == copy:
            assert answer.status == 400
        elif source in self.model:
            assert answer.status == 200
            self.model[copy] = self.model[source]
        else:
            assert (answer.status, answer.code) == (404, "NoSuchKey")

    @rule(key=consumes(keys))
    def delete(self, key: str) -> None:
        assert self.calls("DELETE", key).status == 204
        self.model.pop(key, None)

    @rule(key=keys, body=BODIES)
    def put_by_hand(self, key: str, body: bytes) -> None:
        parts = plain_parts(key)
        if parts is None or not parts[-1]:
            return
        path = self.store.root.joinpath("box", *parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # as an editor saves: another file of that name
            path.write_bytes(body)
        except OSError:
            return
        self.model[key] = body, "binary/octet-stream"

    @rule(key=keys)
    def delete_by_hand(self, key: str) -> None:
        if key in self.model and not key.endswith("/"):
            path, _ = self.store.locate("box", key)
            path.unlink()
            del self.model[key]
            # Somebody put a file over an encoded object, and now takes it away: that object is seen again.
            answer = self.calls("GET", key)
            if answer.status == 200:
                self.model[key] = answer.body, answer.headers["content-type"]

    @rule(key=keys)
    def get(self, key: str) -> None:
        answer = self.calls("GET", key)
        if key not in self.model:
            assert (answer.status, answer.code) == (404, "NoSuchKey")
            return
        body, kind = self.model[key]
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, body, kind)
        assert answer.etag.endswith("-1") or answer.etag == hashlib.md5(body).hexdigest()

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "/", "//", ".", "a//", ".clary-keys", "a" * 75, "é"]) | keys,
        delimiter=st.sampled_from(["", "/", "a", "//", "!"]),
        marker=st.just("") | st.sampled_from(PIECES) | keys,
        size=st.integers(1, 5),
    )
    def pages(self, prefix: str, delimiter: str, marker: str, size: int) -> None:
        found = self.calls.pages(prefix=prefix, delimiter=delimiter, marker=marker, max_keys=str(size))
        assert found.order == expected(self.model, prefix, delimiter, marker)

    @invariant()
    def everything_is_listed_once_and_in_order(self) -> None:
        assert self.calls.page().order == sorted(self.model, key=str.encode)


def expected(keys: Any, prefix: str, delimiter: str, marker: str) -> list[str]:
    """What S3's documentation says."""
    found: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        entry = prefix + head + cut if cut else key
        if not cut and key.encode() <= marker.encode():
            continue
        # A marker that is a common prefix stands for all keys below it.
        if cut and (key.encode() <= marker.encode() or (entry == marker and marker.startswith(prefix))):
            continue
        if entry not in found:
            found.append(entry)
    return found


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
