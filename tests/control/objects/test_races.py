"""Requests at the same moment: each answer is one that some order of them allows, and no object is half of two.

Each thread has an event loop of its own over one store, so that requests meet anywhere, not only where one awaits.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clary.control.objects import multipart, reading, writing
from clary.control.objects.base import NoSuchKey
from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App

from .s3_calls import Answer, Calls

ROUNDS = 60
VERSIONS = [bytes([65 + n]) * size for n, size in enumerate((10, 1000, 70_000, 200_000))]
ETAGS = {hashlib.md5(each).hexdigest(): each for each in VERSIONS}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    found = LocalStore(tmp_path / "s3")
    found.create_bucket("box", "us-east-1")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads meet in more places
    yield found
    sys.setswitchinterval(interval)


@contextmanager
def _calls(store: LocalStore) -> Iterator[Calls]:
    found = Calls(S3App(store, account="000000000000", region="us-east-1"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def calls(store: LocalStore) -> Iterator[Calls]:
    with _calls(store) as found:
        yield found


def at_once(store: LocalStore, *works: Callable[[Calls], Any]) -> list[Any]:
    """What each gives, which begin together and have an application of their own."""

    def one(work: Callable[[Calls], Any]) -> Any:
        with _calls(store) as calls:
            return work(calls)

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def repeated(work: Callable[[Calls], Answer], *statuses: int, rounds: int = ROUNDS) -> Callable[[Calls], None]:
    def run(calls: Calls) -> None:
        for _ in range(rounds):
            answer = work(calls)
            assert answer.status in statuses, answer.body

    return run


def is_whole(answer: Answer) -> None:
    """The bytes of a version with the ETag of that version."""
    assert answer.status == 200, answer.body
    assert ETAGS[answer.etag] == answer.body


def put_any(key: str) -> Callable[[Calls], Answer]:
    return lambda calls: calls.put(key, random.choice(VERSIONS), content_type="image/png")


class TestOneVersion:
    """A version that is put in the middle of a request: the answer is of one of the two."""

    @pytest.fixture(params=["source", "a//source"])
    def source(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def overwriting(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch, module: Any, source: str, size: int
    ) -> None:
        """The source is overwritten where the request has read its ETag, and not yet its bytes."""
        real = module.check_conditions

        def check_conditions(*args: Any, **named: Any) -> None:
            real(*args, **named)
            staged = store.stage_name()
            staged.write_bytes(VERSIONS[size])
            store.adopt(staged, "box", source)

        monkeypatch.setattr(module, "check_conditions", check_conditions)

    @pytest.mark.parametrize("size", [0, 2])
    def test_copy(
        self, store: LocalStore, calls: Calls, monkeypatch: pytest.MonkeyPatch, source: str, size: int
    ) -> None:
        calls.put(source, VERSIONS[1], content_type="image/png")
        self.overwriting(store, monkeypatch, writing, source, size)
        answer = calls.copy(source, "copy")
        monkeypatch.undo()
        assert calls("GET", source).body == VERSIONS[size]
        copy = calls("GET", "copy")
        is_whole(copy)
        assert copy.etag == answer.etag
        assert copy.headers["content-type"] == "image/png"

    @pytest.mark.parametrize("size", [0, 2])
    def test_copy_of_a_part(
        self, store: LocalStore, calls: Calls, monkeypatch: pytest.MonkeyPatch, source: str, size: int
    ) -> None:
        old = calls.put(source, VERSIONS[1])
        upload = calls("POST", "copy", b"", {"uploads": ""}).text("UploadId")
        self.overwriting(store, monkeypatch, multipart, source, size)
        asked = {"x_amz_copy_source": f"box/{source}", "x_amz_copy_source_range": "bytes=0-999"}
        part = calls("PUT", "copy", b"", {"uploadId": upload, "partNumber": "1"}, **asked)
        monkeypatch.undo()
        assert part.etag == old.etag
        assert calls.complete("copy", upload, part.etag).status == 200
        assert calls("GET", "copy").body == VERSIONS[1]

    @pytest.mark.parametrize("size", [0, 3])
    def test_get(
        self, store: LocalStore, calls: Calls, monkeypatch: pytest.MonkeyPatch, source: str, size: int
    ) -> None:
        calls.put(source, VERSIONS[2])
        self.overwriting(store, monkeypatch, reading, source, size)
        is_whole(calls("GET", source))

    def test_large_metadata(
        self, store: LocalStore, calls: Calls, monkeypatch: pytest.MonkeyPatch, source: str
    ) -> None:
        """They lie in a file of their own, which goes with its version."""
        calls.put(source, VERSIONS[0], cache_control="0" * 5000)
        real = store.metadata.read_open
        later = iter([VERSIONS[1], VERSIONS[2]])

        def overwrite(body: bytes, calls: Calls) -> int:
            return calls.put(source, body, cache_control=str(len(body)) * 1000).status

        def read_open(*args: Any) -> Any:
            if body := next(later, b""):
                put = partial(overwrite, body)
                assert at_once(store, put) == [200]
            return real(*args)

        monkeypatch.setattr(store.metadata, "read_open", read_open)
        answer = calls("GET", source)
        is_whole(answer)
        assert answer.headers["cache-control"] == str(len(answer.body)) * 1000

    def test_copies_of_an_object_that_is_overwritten(self, store: LocalStore, calls: Calls, source: str) -> None:
        calls.put(source, VERSIONS[0])

        def copy(calls: Calls) -> None:
            for n in range(ROUNDS):
                answer = calls.copy(source, f"copy/{n}")
                copy = calls("GET", f"copy/{n}")
                is_whole(copy)
                assert answer.etag == copy.etag

        at_once(store, copy, *[repeated(put_any(source), 200)] * 2)


class TestOneKey:
    @pytest.fixture(params=["key", "a/b/key", "key//", "key/"])
    def key(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_put_against_delete(self, store: LocalStore, calls: Calls, key: str) -> None:
        def get(calls: Calls) -> None:
            for _ in range(ROUNDS):
                answer = calls("GET", key)
                if answer.status != 404:
                    is_whole(answer)
                page = calls.page()
                assert set(page.objects) <= {key}
                assert set(page.objects.values()) <= set(ETAGS)

        at_once(store, repeated(put_any(key), 200), repeated(lambda calls: calls("DELETE", key), 204), get)
        assert calls.put(key, VERSIONS[0]).status == 200
        is_whole(calls("GET", key))
        calls("DELETE", key)
        assert calls.pages().order == []
        assert list(store.staging.iterdir()) == []

    def test_only_one_is_first(self, store: LocalStore, calls: Calls, key: str) -> None:
        for _ in range(ROUNDS // 4):
            put = [lambda calls: calls.put(key, VERSIONS[1], if_none_match="*").status] * 4
            assert sorted(at_once(store, *put)) == [200, 412, 412, 412]
            calls("DELETE", key)

    def test_a_copy_onto_itself_changes_headers_only(self, store: LocalStore, calls: Calls, key: str) -> None:
        calls.put(key, VERSIONS[0])
        headers = {"x_amz_metadata_directive": "REPLACE", "content_type": "a/b"}

        def get(calls: Calls) -> None:
            for _ in range(ROUNDS):
                is_whole(calls("GET", key))

        at_once(
            store, *[repeated(lambda calls: calls.copy(key, key, **headers), 200)] * 2, repeated(put_any(key), 200), get
        )
        is_whole(calls("GET", key))

    def test_complete_against_abort(self, store: LocalStore, calls: Calls, key: str) -> None:
        def complete(upload: str, etag: str, calls: Calls) -> int:
            return calls.complete(key, upload, etag).status

        def abort(upload: str, calls: Calls) -> int:
            return calls("DELETE", key, b"", {"uploadId": upload}).status

        for _ in range(ROUNDS // 3):
            upload = calls("POST", key, b"", {"uploads": ""}).text("UploadId")
            etag = calls("PUT", key, VERSIONS[2], {"uploadId": upload, "partNumber": "1"}).etag
            works = partial(complete, upload, etag), partial(abort, upload)
            completed, aborted = at_once(store, *works)
            assert (completed, aborted) in ((200, 204), (200, 404), (404, 204))
            answer = calls("GET", key)
            assert (answer.status, answer.body) == (200, VERSIONS[2]) if completed == 200 else answer.status == 404
            calls("DELETE", key)
            assert calls("GET", None, b"", {"uploads": ""}).text("UploadId") == ""


class TestNeighbours:
    def test_a_key_and_keys_below_it(self, store: LocalStore, calls: Calls) -> None:
        """Which of them is the plain file is decided anew all the time."""
        keys = ["a", "a/", "a/b", "a/b/c", "a//"]

        def work(number: int) -> Callable[[Calls], None]:
            def run(calls: Calls) -> None:
                for n in range(ROUNDS):
                    body = VERSIONS[n % 2]
                    assert calls.put(keys[number], body).status == 200
                    assert calls("GET", keys[number]).body == body
                    assert keys[number] in calls.page().objects
                    assert calls("DELETE", keys[number]).status == 204
                    assert calls("GET", keys[number]).status == 404

            return run

        at_once(store, *(work(number) for number in range(len(keys))))
        assert calls.pages().order == []
        assert list((store.root / "box").iterdir()) == []

    def test_a_bucket_that_is_deleted(self, store: LocalStore) -> None:
        """Either it goes and the object with it was never stored, or it stays."""
        for _ in range(ROUNDS // 2):
            store.create_bucket("box", "")
            put, deleted = at_once(
                store, lambda calls: calls.put("a//b", b"1").status, lambda calls: calls("DELETE").status
            )
            assert (put, deleted) in ((200, 409), (404, 204))
            assert store.bucket_exists("box") == (put == 200)
            if put == 200:
                assert [each.key for each in store.list("box")] == ["a//b"]
                store.delete("box", "a//b")


class TestListings:
    def test_what_nobody_touches_is_on_every_list_once(self, store: LocalStore, calls: Calls) -> None:
        """Sixteen writers and deleters beside it, in the same folders."""
        folders = ["", "d/", "d/e/", "x//", "kept/"]  # `kept` is a key as well
        kept = sorted({f"{folder}k{n:02}" for folder in folders for n in range(12)} | {"kept", "d/"}, key=str.encode)
        for key in kept:
            calls.put(key, b"" if key.endswith("/") else b"kept")

        def churn(seed: int) -> Callable[[Calls], None]:
            def run(calls: Calls) -> None:
                chance = random.Random(seed)
                for _ in range(ROUNDS // 2):
                    key = f"{chance.choice(folders)}t{chance.randrange(12):02}{chance.choice(['', '/', '/x', '//'])}"
                    if chance.random() < 0.5:
                        assert calls.put(key, chance.choice(VERSIONS[:2])).status == 200
                    elif chance.random() < 0.5:
                        assert calls.upload(key, b"1").status == 200
                    else:
                        assert calls("DELETE", key).status == 204

            return run

        def list_(calls: Calls) -> None:
            for n in range(10):
                found = calls.pages(max_keys=str(3 + 4 * n)).order
                assert [key for key in found if key in kept] == kept
                assert found == sorted(found, key=str.encode)
                page = calls.pages(delimiter="/", max_keys=str(2 + n))
                wanted = [*(f"k{n:02}" for n in range(12)), "kept", "d/", "x/", "kept/"]
                assert sorted(entry for entry in page.order if entry in wanted) == sorted(wanted)

        at_once(store, *(churn(seed) for seed in range(16)), list_, list_)

    def test_pages_while_their_keys_are_deleted(self, store: LocalStore, calls: Calls) -> None:
        keys = [f"{folder}{n:03}" for folder in ("a/", "a//", "b") for n in range(40)]
        for key in keys:
            calls.put(key, b"1")

        def delete(calls: Calls) -> None:
            for key in keys[::2]:
                assert calls("DELETE", key).status == 204

        def list_(calls: Calls) -> None:
            for size in (1, 5, 7):
                found = calls.pages(max_keys=str(size)).order
                assert [key for key in found if key in keys[1::2]] == sorted(keys[1::2], key=str.encode)

        at_once(store, delete, list_, list_)
        assert calls.pages().order == sorted(keys[1::2], key=str.encode)


def test_fetching_while_it_is_overwritten(store: LocalStore, tmp_path: Path) -> None:
    """As a channel is filled: each file is one version, or the key is named."""

    def fetch(_: Calls) -> None:
        for n in range(ROUNDS):
            path = tmp_path / f"{n}"
            try:
                store.fetch("box", "a//key", path)
            except NoSuchKey:
                continue
            assert path.read_bytes() in VERSIONS

    at_once(store, fetch, repeated(put_any("a//key"), 200), repeated(lambda calls: calls("DELETE", "a//key"), 204))
