"""Streams on disk: what is written is read, by index and by time, whatever happens to the writer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.logs import streams
from clary.control.logs.streams import Event, LogStore, LogWriter, milliseconds
from clary.control.wire.errors import ServiceError

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def logs(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path / "logs")


@pytest.fixture
def put(logs: LogStore) -> Callable[..., None]:
    """``put(stream, (timestamp, message), ...)``: append events and close."""

    def put(stream: str, *events: tuple[int, str]) -> None:
        writer = logs.writer(GROUP, stream)
        writer.append(events)
        writer.close()

    return put


Put = Callable[..., None]


def _messages(logs: LogStore, stream: str = "s", **window: int) -> list[str]:
    return [event.message for event in logs.events(GROUP, stream, **window)]


class TestWriting:
    def test_events_come_back(self, logs: LogStore) -> None:
        before = milliseconds()
        writer = logs.writer(GROUP, "job/algo-1")
        writer.write("one", "", "two  with spaces \t\r", "Größe 🐈")
        found = logs.events(GROUP, "job/algo-1")
        writer.close()
        assert [event.message for event in found] == ["one", "", "two  with spaces \t\r", "Größe 🐈"]
        assert [event.index for event in found] == [0, 1, 2, 3]
        assert all(before <= event.timestamp <= milliseconds() for event in found)

    def test_a_message_of_several_lines_is_several_events(self, logs: LogStore, put: Put) -> None:
        put("s", (5, "a\nb\n\nc"))
        assert [(event.timestamp, event.message) for event in logs.events(GROUP, "s")] == [
            (5, "a"),
            (5, "b"),
            (5, ""),
            (5, "c"),
        ]

    def test_times_never_run_backwards(self, logs: LogStore, put: Put) -> None:
        put("s", (100, "a"), (50, "b"), (200, "c"))
        put("s", (150, "d"))
        assert [event.timestamp for event in logs.events(GROUP, "s")] == [100, 100, 200, 200]

    def test_a_clock_set_back_between_two_writers(self, logs: LogStore, put: Put) -> None:
        later = milliseconds() + 3_600_000
        put("s", (later, "from the future"))
        writer = logs.writer(GROUP, "s")
        writer.write("now")
        writer.close()
        assert [event.timestamp for event in logs.events(GROUP, "s")] == [later, later]

    def test_a_message_beyond_the_limit_goes_on_in_another_event(self, logs: LogStore, put: Put) -> None:
        message = "é🐈" * 150_000
        put("s", (1, message), (2, "next"))
        found = _messages(logs)
        assert "".join(found) == message + "next"
        assert all(0 < len(part.encode()) <= streams.MESSAGE_LIMIT for part in found)
        assert len(found) == 5

    def test_text_that_is_not_unicode(self, logs: LogStore, put: Put) -> None:
        put("s", (1, b"caf\xe9".decode(errors="surrogateescape")))
        assert _messages(logs) == ["caf\\udce9"]

    def test_nothing_to_write(self, logs: LogStore) -> None:
        writer = logs.writer(GROUP, "s")
        writer.write()
        writer.close()
        assert logs.events(GROUP, "s") == []

    def test_half_a_line_of_a_killed_writer_is_its_own_event(self, logs: LogStore, put: Put) -> None:
        put("s", (100, "whole"))
        path = logs.path(GROUP, "s")
        for torn in (b"1", b"170000 half a mess", b"\0\0"):
            with path.open("ab") as file:
                file.write(torn)
            assert logs.events(GROUP, "s")[-1].message in ("whole", "next")
            put("s", (200, "next"))
        found = logs.events(GROUP, "s")
        assert [event.message for event in found] == ["whole", "1", "next", "half a mess", "next", "\0\0", "next"]
        times = [event.timestamp for event in found]
        assert times == sorted(times)
        assert logs.index_at(GROUP, "s", 200) == 2

    @pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
    def test_a_full_disk(self, logs: LogStore) -> None:
        code = (
            "import resource, sys; from pathlib import Path; from clary.control.logs.streams import LogWriter\n"
            "writer = LogWriter(Path(sys.argv[1])); writer.write('first')\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
            "try: writer.write('whole', 'x' * 200_000)\n"
            "except OSError as error: print(error)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
            "writer.write('after'); writer.close()"
        )
        path = logs.path(GROUP, "s")
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert "File too large" in done.stdout
        found = _messages(logs)
        assert [found[0], found[1], found[-1]] == ["first", "whole", "after"]
        assert len(found) == 4
        assert set(found[2]) == {"x"}

    def test_a_reader_sees_whole_lines_only(self, logs: LogStore) -> None:
        path = logs.path(GROUP, "s")
        LogWriter(path).close()
        with path.open("ab", buffering=0) as file:
            for part, seen in ((b"5 o", 0), (b"ne\n6 two", 1), (b"\n", 2)):
                file.write(part)
                assert logs.count(GROUP, "s") == len(logs.events(GROUP, "s")) == seen


class TestReading:
    def test_any_window(self, logs: LogStore, put: Put) -> None:
        put("s", *((1000 + n, f"line {n}") for n in range(1000)))
        assert logs.count(GROUP, "s") == 1000
        for start, limit in ((0, 1), (255, 2), (256, 1), (511, 300), (990, 100), (1000, 5), (1001, 5), (-1, 5), (3, 0)):
            wanted = [f"line {n}" for n in range(start, min(start + limit, 1000))] if start >= 0 else []
            assert _messages(logs, start=start, limit=limit) == wanted
        assert logs.events(GROUP, "s", 700, 1) == [Event(700, 1700, "line 700")]

    def test_what_is_appended_is_found(self, logs: LogStore, put: Put) -> None:
        for round in range(5):
            put("s", *((n, f"{round} {n}") for n in range(round * 200, round * 200 + 200)))
            assert logs.count(GROUP, "s") == (round + 1) * 200
            assert _messages(logs, start=round * 200 + 199) == [f"{round} {round * 200 + 199}"]
            assert logs.index_at(GROUP, "s", round * 200 + 100) == round * 200 + 100

    def test_another_file_of_the_same_name(self, logs: LogStore, put: Put) -> None:
        put("s", *((n, "old") for n in range(300)))
        assert logs.count(GROUP, "s") == 300
        logs.path(GROUP, "s").unlink()
        put("s", (1, "new"))
        assert _messages(logs) == ["new"]

    def test_a_longer_file_in_its_place(self, logs: LogStore, put: Put) -> None:
        put("s", (1, "old"))
        assert logs.count(GROUP, "s") == 1
        put("t", *((n, "new, longer") for n in range(3)))
        os.replace(logs.path(GROUP, "t"), logs.path(GROUP, "s"))
        assert _messages(logs) == ["new, longer"] * 3

    def test_an_emptied_file(self, logs: LogStore, put: Put) -> None:
        put("s", (1, "old"), (2, "old"))
        assert logs.count(GROUP, "s") == 2
        os.truncate(logs.path(GROUP, "s"), 0)
        put("s", (1, "new"))
        assert _messages(logs) == ["new"]

    def test_many_threads_read_while_one_writes(self, logs: LogStore) -> None:
        writer = logs.writer(GROUP, "s")
        writer.write("0")

        def read(_: int) -> bool:
            found = logs.events(GROUP, "s")
            return [event.message for event in found] == [str(n) for n in range(len(found))]

        with ThreadPoolExecutor(4) as pool:
            results = pool.map(read, range(200))
            for number in range(1, 2000):
                writer.write(str(number))
            assert all(results)
        writer.close()
        assert logs.count(GROUP, "s") == 2000

    def test_many_threads_find_a_long_stream_at_once(self, logs: LogStore, put: Put) -> None:
        put("s", *((n, str(n)) for n in range(200_000)))
        together = Barrier(3)

        def count(_: int) -> int:
            together.wait()
            return logs.count(GROUP, "s")

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(count, range(3))) == [200_000] * 3
        assert _messages(logs, start=199_998) == ["199998", "199999"]

    def test_missing(self, logs: LogStore, put: Put) -> None:
        put("s", (1, "x"))
        calls: list[Callable[[], object]] = [
            lambda: logs.streams("/other"),
            lambda: logs.events(GROUP, "other"),
            lambda: logs.count("/other", "s"),
            lambda: logs.index_at(GROUP, "other", 0),
            lambda: logs.create_stream("/other", "s"),
        ]
        for ask in calls:
            with pytest.raises(ServiceError) as caught:
                ask()
            assert caught.value.code == "ResourceNotFoundException"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        steps=st.lists(st.integers(0, 3), max_size=1200),
        asked=st.lists(st.integers(-5, 2000), min_size=1, max_size=20),
        stride=st.sampled_from([1, 2, 7, 256]),
    )
    def test_index_at_is_the_first_at_or_after(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int], asked: list[int], stride: int
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(streams, "STRIDE", stride)
            logs = LogStore(tmp_path / str(next(_numbers)))
            writer = logs.writer(GROUP, "s")
            times: list[int] = []
            for step in steps:
                times.append((times[-1] if times else 1) + step)
            writer.append((time, f"m {n}") for n, time in enumerate(times))
            writer.close()
            for timestamp in asked:
                wanted = next((n for n, time in enumerate(times) if time >= timestamp), len(times))
                assert logs.index_at(GROUP, "s", timestamp) == wanted
            for start in asked:
                found = [(event.index, event.timestamp) for event in logs.events(GROUP, "s", start, 5)]
                assert found == (list(enumerate(times))[start : start + 5] if start >= 0 else [])

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=400))
    def test_any_file_can_be_read(self, tmp_path: Path, data: bytes) -> None:
        logs = LogStore(tmp_path / str(next(_numbers)))
        path = logs.path(GROUP, "s")
        LogWriter(path).close()
        path.write_bytes(data)
        found = logs.events(GROUP, "s")
        assert len(found) == data.count(b"\n") == logs.count(GROUP, "s")
        times = [event.timestamp for event in found]
        assert times == sorted(times)
        assert logs.streams(GROUP)[0].size == len(data)
        writer = logs.writer(GROUP, "s")
        writer.write("after")
        writer.close()
        assert _messages(logs)[-1] == "after"


_numbers: Iterator[int] = count()


class TestNames:
    def test_streams_in_name_order_with_a_prefix(self, logs: LogStore, put: Put) -> None:
        names = ["job/algo-1", "job/algo-2", "job-2/algo-1", "jo", "other", "job", "deep/a/b/c"]
        for name in names:
            put(name, (5, name))
        assert [stream.name for stream in logs.streams(GROUP)] == sorted(names)
        for prefix in ("job", "job/", "job/algo-2", "jo", "deep/a", "deep/", "x", "x/y", "/job", "job.lo"):
            found = [stream.name for stream in logs.streams(GROUP, prefix)]
            assert found == sorted(name for name in names if name.startswith(prefix)), prefix
        assert _messages(logs, "job") == ["job"]

    def test_a_stream_as_described(self, logs: LogStore, put: Put) -> None:
        put("s", (1000, "a"), (2000, "b"), (3000, "c" * 5000))
        logs.create_stream(GROUP, "empty")
        empty, stream = logs.streams(GROUP)
        assert (stream.name, stream.created, stream.first, stream.last) == ("s", 1000, 1000, 3000)
        assert stream.size == logs.path(GROUP, "s").stat().st_size
        assert (empty.first, empty.last, empty.size) == (0, 0, 0)
        assert abs(empty.created - milliseconds()) < 60_000

    def test_groups_never_mix(self, logs: LogStore) -> None:
        for name in ("/aws/sagemaker/Endpoints", "/aws/sagemaker/Endpoints/cat", "aws/sagemaker/Endpoints"):
            with closing(logs.writer(name, "x/y")) as writer:
                writer.write(name)
        assert [group.name for group in logs.groups()] == [
            "/aws/sagemaker/Endpoints",
            "/aws/sagemaker/Endpoints/cat",
            "aws/sagemaker/Endpoints",
        ]
        for group in logs.groups():
            assert [stream.name for stream in logs.streams(group.name)] == ["x/y"]
            assert [event.message for event in logs.events(group.name, "x/y")] == [group.name]
            assert abs(group.created - milliseconds()) < 60_000

    def test_no_groups(self, logs: LogStore) -> None:
        assert logs.groups() == []
        assert not logs.has_group(GROUP)
        logs.create_group(GROUP)
        assert logs.has_group(GROUP)
        assert logs.streams(GROUP) == []
        assert not logs.has_stream(GROUP, "s")
        logs.create_stream(GROUP, "s")
        assert logs.has_stream(GROUP, "s")

    @given(
        name=st.text(max_size=40) | st.sampled_from(["..", ".", "../x", "a/../b", "/etc/passwd", "a//b", "a\0b", "~"])
    )
    def test_no_name_leads_out_of_its_group(self, name: str) -> None:
        logs = LogStore(Path("/logs"))
        try:
            path = logs.path(GROUP, name)
            other = logs.path(name, "s")
        except ServiceError as error:
            assert error.code == "InvalidParameterException"  # noqa: PT017
            return
        assert os.path.normpath(path) == str(path)
        assert path.is_relative_to(logs.path(GROUP, "x").parent)
        assert other.parent.parent == Path("/logs")

    def test_names_that_cannot_be_files(self, logs: LogStore) -> None:
        for name in ("", "a//b", "..", "x" * 300, "a/./b"):
            with pytest.raises(ServiceError, match="the log name"):
                logs.path(GROUP, name)

    @given(name=st.from_regex(r"[^/\x00]{1,20}(/[^/\x00]{1,20})?", fullmatch=True))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_name_comes_back(self, tmp_path: Path, name: str) -> None:
        logs = LogStore(tmp_path / str(next(_numbers)))
        try:
            logs.writer(GROUP, name).close()
        except ServiceError:
            return
        except UnicodeEncodeError:
            return
        assert [stream.name for stream in logs.streams(GROUP, name[:2].rstrip("/") or name)] == [name]


@pytest.mark.slow
def test_a_long_log_is_read_quickly(logs: LogStore) -> None:
    """A million lines: read through once, then any page and any time at once."""
    writer = logs.writer(GROUP, "s")
    for block in range(100):
        writer.append((block * 10_000 + n, f"Epoch[{block}] Batch [{n}] loss=0.123456") for n in range(10_000))
    writer.close()
    begin = time.perf_counter()
    assert logs.count(GROUP, "s") == 1_000_000
    assert time.perf_counter() - begin < 3

    def fastest(ask: Callable[[], object]) -> float:
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            ask()
            times.append(time.perf_counter() - begin)
        return min(times)

    assert fastest(lambda: logs.events(GROUP, "s", 777_777, 100)) < 0.005
    assert fastest(lambda: logs.index_at(GROUP, "s", 654_321)) < 0.005
    assert logs.index_at(GROUP, "s", 654_321) == 654_321
