"""Lists by page: against a plain filter and sort of the same records, and quick over very many."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, update

from clary.control.store import schema
from clary.control.store.records import Query, Record, Store
from clary.control.wire.errors import ValidationException

Make = Callable[..., None]


def _names(store: Store, query: Query, kind: str = "model") -> list[str]:
    """Names of all pages."""
    names: list[str] = []
    token: str | None = None
    while True:
        page = store.page(kind, _with(query, token=token))
        assert len(page.records) <= query.limit
        names += [record.name for record in page.records]
        token = page.next_token
        if token is None:
            return names
        assert page.records


def _with(query: Query, **changes: Any) -> Query:
    return replace(query, **changes)


class TestPages:
    def test_no_records(self, store: Store) -> None:
        page = store.page("model", Query())
        assert (page.records, page.next_token) == ([], None)

    def test_whole_records_come(self, store: Store) -> None:
        record = store.create("model", "a", arn="arn:a", body={"x": [1]}, status="s", tags={"k": "v"})
        assert store.page("model", Query()).records == [record]

    @pytest.mark.parametrize("sort_by", ["Name", "CreationTime", "LastModifiedTime", "Status"])
    @pytest.mark.parametrize("descending", [False, True])
    def test_every_order_in_pages(self, store: Store, make: Make, sort_by: Any, descending: bool) -> None:
        make(store, "e", "B", "d-é", status="InProgress")
        make(store, "a", "c", status="Completed")
        make(store, "x", kind="endpoint")
        store.edit("model", "B", lambda record: ({}, "Failed"))
        key: dict[str, Callable[[Record], Any]] = {
            "Name": lambda record: record.name,
            "CreationTime": lambda record: (record.created, record.name),
            "LastModifiedTime": lambda record: (record.modified, record.name),
            "Status": lambda record: (record.status, record.created, record.name),
        }
        expected = [r.name for r in sorted(store.select("model"), key=key[sort_by], reverse=descending)]
        for limit in (1, 2, 5, 100):
            assert _names(store, Query(sort_by=sort_by, descending=descending, limit=limit)) == expected

    def test_a_full_last_page_has_no_token(self, store: Store, make: Make) -> None:
        make(store, "a", "b")
        assert store.page("model", Query(limit=2)).next_token is None
        assert store.page("model", Query(limit=1)).next_token is not None

    def test_filters(self, store: Store, make: Make) -> None:
        make(store, "cat-1", "CAT-2", "dog_1%", status="InProgress")
        make(store, "my-cat", status="Completed")
        by_name = {"sort_by": "Name"}
        assert _names(store, Query(name_contains="cat", **by_name)) == ["cat-1", "my-cat"]  # type: ignore[arg-type]
        assert _names(store, Query(name_contains="_1%")) == ["dog_1%"]
        assert _names(store, Query(name_contains="cat", status="InProgress")) == ["cat-1"]
        assert _names(store, Query(name_prefix="cat")) == ["cat-1"]
        assert _names(store, Query(status="Failed")) == []

    def test_times_after_are_inclusive_and_before_exclusive(self, store: Store, make: Make) -> None:
        make(store, "a")
        record = store.get("model", "a")
        assert record is not None
        for field, at in (("created", record.created), ("modified", record.modified)):
            assert _names(store, _with(Query(), **{f"{field}_after": at})) == ["a"]
            assert _names(store, _with(Query(), **{f"{field}_after": at + 0.001})) == []
            assert _names(store, _with(Query(), **{f"{field}_before": at})) == []
            assert _names(store, _with(Query(), **{f"{field}_before": at + 0.001})) == ["a"]

    def test_records_that_come_and_go_between_pages(self, store: Store, make: Make) -> None:
        make(store, "b", "d", "f", "h")
        first = store.page("model", Query(sort_by="Name", limit=2))
        assert [record.name for record in first.records] == ["b", "d"]
        store.delete("model", "d")  # the place the token remembers
        make(store, "a", "e")
        rest = store.page("model", Query(sort_by="Name", limit=9, token=first.next_token))
        assert [record.name for record in rest.records] == ["e", "f", "h"]

    def test_a_token_is_good_for_its_own_list_only(self, store: Store, make: Make) -> None:
        make(store, "a", "b", "c")
        query = Query(limit=1, name_contains="")
        token = store.page("model", query).next_token
        assert token
        assert store.page("model", _with(query, token=token, limit=5)).records[0].name == "b"
        others: list[dict[str, Any]] = [
            {"sort_by": "Name"},
            {"descending": True},
            {"status": "x"},
            {"name_contains": "a"},
            {"name_prefix": "a"},
            {"created_after": 1.0},
            {"modified_before": 1.0},
        ]
        for other in others:
            with pytest.raises(ValidationException, match="NextToken"):
                store.page("model", _with(query, token=token, **other))
        with pytest.raises(ValidationException, match="NextToken"):
            store.page("endpoint", _with(query, token=token))

    def test_an_empty_token_is_none(self, store: Store, make: Make) -> None:
        make(store, "a")
        assert len(store.page("model", Query(token="")).records) == 1


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Twenty records with times of their own choice, several the same."""
    url = f"sqlite:///{tmp_path_factory.mktemp('twenty')}/clary.db"
    store = Store(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        for number in range(20):
            name = f"{'abc'[number % 3]}-{number * 7 % 20}"
            store_row = {"kind": "model", "name": name, "arn": name, "status": ["x", "y"][number // 5 % 2]}
            times = {"created": 100.0 + number // 3, "modified": 200.0 + number % 4}
            connection.execute(insert(schema.records).values(**store_row, **times, version=1, body="{}"))
    engine.dispose()
    yield store
    store.close()


_TIME = st.none() | st.sampled_from([100.0, 102.0, 103.5, 200.0, 202.0])


class TestAgainstAPlainList:
    @settings(max_examples=150, deadline=None)
    @given(
        query=st.builds(
            Query,
            name_contains=st.sampled_from(["", "a", "-1", "b-", "zz"]),
            status=st.sampled_from(["", "", "x", "y"]),
            created_after=_TIME,
            created_before=_TIME,
            modified_after=_TIME,
            modified_before=_TIME,
            sort_by=st.sampled_from(["Name", "CreationTime", "LastModifiedTime", "Status"]),
            descending=st.booleans(),
            limit=st.integers(1, 25),
            name_prefix=st.sampled_from(["", "", "b-", "c"]),
        )
    )
    def test_pages_are_the_filtered_sorted_list(self, twenty: Store, query: Query) -> None:
        keys: dict[str, Callable[[Record], Any]] = {
            "Name": lambda r: r.name,
            "CreationTime": lambda r: (r.created, r.name),
            "LastModifiedTime": lambda r: (r.modified, r.name),
            "Status": lambda r: (r.status, r.created, r.name),
        }
        wanted = [
            record
            for record in twenty.select("model")
            if query.name_contains in record.name
            and record.name.startswith(query.name_prefix)
            and query.status in ("", record.status)
            and (query.created_after is None or record.created >= query.created_after)
            and (query.created_before is None or record.created < query.created_before)
            and (query.modified_after is None or record.modified >= query.modified_after)
            and (query.modified_before is None or record.modified < query.modified_before)
        ]
        wanted.sort(key=keys[query.sort_by], reverse=query.descending)
        assert _names(twenty, query) == [record.name for record in wanted]

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_no_token_breaks_the_list(self, twenty: Store, data: st.DataObject) -> None:
        query = Query(limit=3)
        good = twenty.page("model", query).next_token
        assert good
        at = data.draw(st.integers(0, len(good)))
        broken = st.just(good[:at] + data.draw(st.text(max_size=3)) + good[at + data.draw(st.integers(0, 3)) :])
        token = data.draw(st.text(min_size=1) | broken | st.just(json.dumps(["x", 1.0, "a"])))
        with contextlib.suppress(ValidationException):
            assert len(twenty.page("model", _with(query, token=token)).records) <= 3


JOBS = 100_000


@pytest.mark.slow
def test_a_page_of_a_hundred_thousand_jobs_is_quick(tmp_path: Path) -> None:
    """Under 30 ms whatever is asked, one record found or all or none; the body is that of a real job in size."""
    url = f"sqlite:///{tmp_path}/clary.db"
    store = Store(url)
    _fill(url)
    start, middle = 1_700_000_000.0, 1_700_000_000.0 + JOBS / 2
    queries = {
        "all": Query(),
        "newest": Query(descending=True),
        "by name": Query(sort_by="Name"),
        "by status": Query(sort_by="Status", descending=True),
        "by change": Query(sort_by="LastModifiedTime"),
        "a name that is there once": Query(name_contains="e5f-099999"),
        "a name that is not there": Query(name_contains="nothing", descending=True),
        "by name, one that is not there": Query(name_contains="nothing", sort_by="Name"),
        "by status, a name that is not there": Query(name_contains="nothing", sort_by="Status"),
        "a rare status": Query(status="Failed"),
        "a rare status by name": Query(status="Failed", sort_by="Name"),
        "a status of most": Query(status="Completed", descending=True),
        "a status and a name": Query(status="Failed", name_contains="-099"),
        "times": Query(created_after=middle, created_before=middle + 50),
        "times of change": Query(modified_after=start + JOBS - 10, sort_by="Name"),
        "everything": Query("99", "Completed", start, middle, start + 5, middle + 5, "LastModifiedTime", True),
    }
    slow: dict[str, float] = {}
    for name, query in queries.items():
        for again in (query, _deep(store, query)):
            times = []
            for _ in range(7):
                begin = time.perf_counter()
                store.page("training-job", again)
                times.append(time.perf_counter() - begin)
            slow[name] = max(slow.get(name, 0), min(times) * 1000)  # what else runs here only adds
    store.close()
    print({name: round(milliseconds, 1) for name, milliseconds in slow.items()})
    assert {name: ms for name, ms in slow.items() if ms >= 30} == {}


def _deep(store: Store, query: Query) -> Query:
    """The same query with a token some pages in."""
    token: str | None = None
    for _ in range(5):
        page = store.page("training-job", _with(query, token=token, limit=100))
        token = page.next_token or token
    return _with(query, token=token)


def _fill(url: str) -> None:
    body = json.dumps({"HyperParameters": {f"parameter_{n}": "0.001" for n in range(40)}, "Transitions": [{}] * 20})
    rows = [
        {
            "kind": "training-job",
            "name": f"job-{number * 7919 % JOBS:06d}-e5f-{number:06d}",
            "arn": f"arn:{number}",
            "status": "Failed" if number % 1000 == 0 else "Completed",
            "created": 1_700_000_000.0 + number,
            "modified": 1_700_000_000.0 + number + number % 600,
            "version": 9,
            "body": body,
        }
        for number in range(JOBS)
    ]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(schema.records), rows)
        connection.execute(update(schema.records).where(schema.records.c.id == 1).values(status="InProgress"))
    engine.dispose()
