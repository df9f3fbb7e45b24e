"""The store's contract, on every database."""

from __future__ import annotations

import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.store.records import (
    AlreadyExists,
    Changed,
    NoSuchRecord,
    Point,
    Record,
    Series,
    Store,
    StoreError,
)

Make = Callable[..., None]


class TestRecords:
    def test_what_is_created_can_be_got(self, store: Store) -> None:
        before = round(time.time(), 3)
        body = {"Name": "Größe 🐈 \0", "List": [1, 2.5, None, True], "_phase": "queued"}
        created = store.create("model", "a", arn="arn:a", body=body, status="InService")
        assert created == Record("model", "a", "arn:a", "InService", created.created, created.created, 1, body)
        assert before <= created.created <= time.time()
        assert store.get("model", "a") == store.by_arn("arn:a") == created

    def test_times_become_seconds(self, store: Store) -> None:
        moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
        record = store.create("model", "a", arn="arn:a", body={"At": moment})
        assert record.body == {"At": moment.timestamp()}
        assert store.get("model", "a") == record

    def test_a_body_of_something_else_is_refused(self, store: Store) -> None:
        with pytest.raises(TypeError, match="bytes"):
            store.create("model", "a", arn="arn:a", body={"Blob": b""})
        assert store.get("model", "a") is None

    def test_nothing_there(self, store: Store) -> None:
        assert store.get("model", "a") is None
        assert store.by_arn("arn:a") is None
        assert store.delete("model", "a") is False
        assert store.edit("model", "a", lambda record: ({}, "x")) is None
        assert store.select("model") == []

    def test_a_name_is_taken_once_a_kind(self, store: Store, make: Make) -> None:
        make(store, "a")
        make(store, "a", kind="endpoint")
        with pytest.raises(AlreadyExists, match="there is a model `a` already"):
            store.create("model", "a", arn="arn:other", body={}, tags={"k": "v"})
        assert store.tags("arn:other") == {}

    def test_an_arn_is_taken_once(self, store: Store) -> None:
        store.create("model", "A", arn="arn:a", body={})
        with pytest.raises(AlreadyExists):
            store.create("model", "a", arn="arn:a", body={})

    def test_update(self, store: Store, make: Make) -> None:
        make(store, "a", "b", status="Creating")
        old = store.get("model", "a")
        assert old is not None
        new = store.update(old, body={"x": 1}, status="InService")
        assert (new.body, new.status, new.version, new.created) == ({"x": 1}, "InService", 2, old.created)
        assert new.modified >= old.modified
        assert store.get("model", "a") == new
        assert store.update(new, body={}).status == "InService"
        other = store.get("model", "b")
        assert other is not None
        assert (other.status, other.version) == ("Creating", 1)

    def test_update_of_what_changed_meanwhile(self, store: Store, make: Make) -> None:
        make(store, "a")
        old = store.get("model", "a")
        assert old is not None
        new = store.update(old, body={"first": True})
        with pytest.raises(Changed, match="the model `a` was changed meanwhile"):
            store.update(old, body={"second": True})
        assert store.get("model", "a") == new

    def test_update_of_what_was_made_anew(self, store: Store, make: Make) -> None:
        make(store, "a")
        old = store.get("model", "a")
        assert old is not None
        store.delete("model", "a")
        with pytest.raises(Changed):
            store.update(old, body={})
        while round(time.time(), 3) <= old.created:
            pass
        make(store, "a")
        with pytest.raises(Changed):
            store.update(old, body={"of the old one": True})

    def test_edit(self, store: Store, make: Make) -> None:
        make(store, "a", status="Creating")
        done = store.edit("model", "a", lambda record: ({**record.body, "x": 1}, "Failed"))
        assert done is not None
        assert (done.body, done.status) == ({"x": 1}, "Failed")
        assert store.edit("model", "a", lambda record: None) == done == store.get("model", "a")

    def test_edit_sees_what_another_wrote_in_between(self, store: Store, make: Make) -> None:
        make(store, "a")
        seen: list[int] = []

        def change(record: Record) -> tuple[dict[str, Any], str]:
            seen.append(record.version)
            if len(seen) == 1:
                store.update(record, body={"theirs": 1})
            return {**record.body, "mine": 2}, ""

        done = store.edit("model", "a", change)
        assert done is not None
        assert done.body == {"theirs": 1, "mine": 2}
        assert seen == [1, 2]

    def test_edits_of_many_threads_all_count(self, store: Store, make: Make) -> None:
        make(store, "a")

        def add(_: int) -> None:
            store.edit("model", "a", lambda record: ({"n": record.body.get("n", 0) + 1}, ""))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(100)))
        record = store.get("model", "a")
        assert record is not None
        assert (record.body, record.version) == ({"n": 100}, 101)

    def test_one_of_many_threads_creates(self, store: Store) -> None:
        def create(number: int) -> bool:
            try:
                store.create("model", "a", arn="arn:a", body={"n": number}, tags={"k": "v"})
            except AlreadyExists:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(create, range(8))) == 1

    def test_select_gives_the_oldest_first(self, store: Store, make: Make) -> None:
        make(store, "c", "a", status="InProgress")
        make(store, "b", status="Completed")
        make(store, "x", kind="endpoint")
        store.edit("model", "c", lambda record: ({}, "Stopping"))
        assert [record.name for record in store.select("model")] == ["c", "a", "b"]
        assert [record.name for record in store.select("model", {"InProgress", "Stopping"})] == ["c", "a"]
        assert store.select("model", []) == []

    @pytest.mark.parametrize("database", ["sqlite"])
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        body=st.dictionaries(
            st.text(),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=8,
            ),
            max_size=5,
        )
    )
    def test_any_body_comes_back(self, database: str, tmp_path: Path, body: dict[str, Any]) -> None:
        store = Store(f"{database}:///{tmp_path}/clary.db")
        try:
            store.delete("model", "a")
            assert store.create("model", "a", arn="arn:a", body=body).body == body
            found = store.get("model", "a")
            assert found is not None
            assert found.body == body
        finally:
            store.close()


class TestTags:
    def test_tags_come_in_key_order(self, store: Store) -> None:
        store.create("model", "a", arn="arn:a", body={}, tags={"z": "1", "B": "2", "a": ""})
        assert list(store.tags("arn:a").items()) == [("B", "2"), ("a", ""), ("z", "1")]

    def test_tagging_replaces_and_adds(self, store: Store) -> None:
        store.create("model", "a", arn="arn:a", body={}, tags={"k": "1", "l": "1"})
        store.create("model", "b", arn="arn:b", body={}, tags={"k": "1"})
        store.tag("arn:a", {"k": "2", "m": "2"})
        store.untag("arn:a", ["l", "unknown"])
        store.tag("arn:a", {})
        assert store.tags("arn:a") == {"k": "2", "m": "2"}
        assert store.tags("arn:b") == {"k": "1"}

    def test_an_unknown_arn(self, store: Store) -> None:
        with pytest.raises(NoSuchRecord, match="arn:a"):
            store.tag("arn:a", {"k": "v"})
        store.untag("arn:a", ["k"])
        assert store.tags("arn:a") == {}

    def test_tags_go_with_their_record(self, store: Store, make: Make) -> None:
        store.create("model", "a", arn="arn:model/a", body={}, tags={"k": "v"})
        assert store.delete("model", "a") is True
        make(store, "a")
        assert store.tags("arn:model/a") == {}


def _point(at: float, value: float = 1.0, name: str = "loss", job: str = "a", **more: Any) -> Point:
    return Point("jobs", name, {"Job": job}, at, value, **more)


class TestMetrics:
    def test_points_come_in_the_order_of_time(self, store: Store) -> None:
        store.add_points([_point(30, 3), _point(10, 1), _point(20, 2, job="b"), _point(20, 2), _point(20, 2.5)])
        found = store.points("jobs", "loss", {"Job": "a"}, 10, 30)
        assert [(point.time, point.value) for point in found] == [(10, 1), (20, 2), (20, 2.5)]
        assert found[0] == Point("jobs", "loss", {"Job": "a"}, 10, 1, "None", 1, 1, 1)

    def test_dimensions_must_be_the_same(self, store: Store) -> None:
        store.add_points([Point("n", "m", {"a": "1", "b": "2"}, 5, 1)])
        assert len(store.points("n", "m", {"b": "2", "a": "1"}, 0, 9)) == 1
        for dimensions in ({}, {"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "b": "2", "c": "3"}):
            assert store.points("n", "m", dimensions, 0, 9) == []

    def test_a_point_of_many_samples(self, store: Store) -> None:
        point = Point("n", "m", {}, 5.25, 2.0, "Seconds", 10.0, 1.0, 4.0)
        store.add_points([point])
        assert store.points("n", "m", {}, 5.25, 6) == [point]

    def test_what_is_not_finite_is_left_out(self, store: Store) -> None:
        assert store.add_points([_point(1, math.nan), _point(2, math.inf), _point(3, 3)], ("log", 7))
        assert [point.time for point in store.points("jobs", "loss", {"Job": "a"}, 0, 9)] == [3]
        assert store.cursor("log") == 7

    def test_a_line_is_counted_once(self, store: Store) -> None:
        assert store.cursor("log") == 0
        assert store.add_points([_point(1)], ("log", 10)) is True
        assert store.add_points([_point(1)], ("log", 10)) is False
        assert store.add_points([_point(1)], ("log", 9)) is False
        assert store.add_points([_point(2)], ("other", 1)) is True
        assert store.add_points([], ("log", 12)) is True
        assert (store.cursor("log"), store.cursor("other")) == (12, 1)
        assert [point.time for point in store.points("jobs", "loss", {"Job": "a"}, 0, 9)] == [1, 2]

    def test_threads_count_every_line_once(self, store: Store) -> None:
        def pump(number: int) -> bool:
            return store.add_points([_point(number % 10)], ("log", number % 10 + 1))

        with ThreadPoolExecutor(4) as pool:
            done = sum(pool.map(pump, range(40)))
        assert 1 <= len(store.points("jobs", "loss", {"Job": "a"}, 0, 99)) == done
        assert store.cursor("log") == 10

    def test_series(self, store: Store) -> None:
        store.add_points(
            [_point(100), _point(5, name="accuracy"), _point(5, job="b"), Point("other", "loss", {}, 5, 1)]
        )
        assert store.series() == [
            Series("jobs", "accuracy", {"Job": "a"}),
            Series("jobs", "loss", {"Job": "a"}),
            Series("jobs", "loss", {"Job": "b"}),
            Series("other", "loss", {}),
        ]
        assert [s.dimensions for s in store.series("jobs", "loss")] == [{"Job": "a"}, {"Job": "b"}]
        assert store.series(dimensions={"Job": "b"}) == [Series("jobs", "loss", {"Job": "b"})]
        assert len(store.series(dimensions={"Job": None})) == 3
        assert store.series(since=50) == [Series("jobs", "loss", {"Job": "a"})]


def test_a_text_no_database_takes(store: Store) -> None:
    with pytest.raises(StoreError, match="the store"):
        store.create("model", "\ud800", arn="arn:a", body={})
    store.create("model", "a", arn="arn:a", body={})


def test_what_was_written_is_there_after_opening_again(url: str, make: Make) -> None:
    store = Store(url)
    make(store, "a", "b")
    store.close()
    again = Store(url)
    assert [record.name for record in again.select("model")] == ["a", "b"]
    again.close()


_WRITER = """
import sys
from clary.control.store.records import Store
store = Store(sys.argv[1])
for number in range(100_000):
    store.create("model", f"m{number}", arn=f"arn:{number}", body={"n": number}, tags={"k": "v"})
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_kill(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/clary.db"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer.stdout:
        for line in writer.stdout:
            if int(line) == 50:
                writer.send_signal(signal.SIGKILL)
                break
        acknowledged = max([50, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    assert writer.wait(10) == -signal.SIGKILL
    store = Store(url)
    names = [record.name for record in store.select("model")]
    assert names == [f"m{number}" for number in range(len(names))]
    assert len(names) in (acknowledged + 1, acknowledged + 2)
    assert store.tags(f"arn:{acknowledged}") == {"k": "v"}
    store.close()


_FULL_DISK = """
import os, resource, sys
from clary.control.store.records import Store, StoreError
store = Store(sys.argv[1])
store.create("model", "first", arn="arn:first", body={})
size = max(entry.stat().st_size for entry in os.scandir(os.path.dirname(sys.argv[1].removeprefix("sqlite:///"))))
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))
number = 0
while True:
    try:
        store.create("model", f"m{number}", arn=f"arn:{number}", body={"x": "y" * 10_000})
    except StoreError as error:
        print(error)
        break
    number += 1
assert number > 0
assert store.get("model", f"m{number}") is None
assert len(store.select("model")) == number + 1
try:
    store.edit("model", "first", lambda record: ({"x": "y" * 100_000}, ""))
except StoreError:
    pass
else:
    raise AssertionError("the disk should be full")
assert store.get("model", "first").body == {}
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.create("model", f"m{number}", arn=f"arn:{number}", body={})
assert len(store.select("model")) == number + 2
store.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_full_disk_stops_the_write_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL_DISK, f"sqlite:///{tmp_path}/clary.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the store refused: ")


def test_a_get_and_an_update_take_less_than_a_millisecond(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/clary.db")
    body = {"HyperParameters": {f"parameter_{n}": "0.001" for n in range(40)}, "SecondaryStatusTransitions": [{}] * 5}
    store.create("training-job", "a", arn="arn:a", body=body, status="InProgress")
    times: list[float] = []
    for _ in range(300):
        start = time.perf_counter()
        store.edit("training-job", "a", lambda record: (record.body, record.status))
        times.append(time.perf_counter() - start)
    store.close()
    assert statistics.quantiles(times, n=10)[0] < 0.001, f"on {os.cpu_count()} cores"
