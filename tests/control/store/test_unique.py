"""A name is used once, whenever that is noticed."""

from __future__ import annotations

import pytest

from clary.control.store.records import Store
from clary.control.store.unique import unique


class Taken(Exception):
    pass


def make(store: Store, name: str, arn: str) -> None:
    with unique(store, "model", name, arn, refusal=Taken(arn)):
        store.create("model", name, arn=arn, body={})


@pytest.mark.parametrize(("name", "arn"), [("one", "arn:other"), ("ONE", "arn:one")])
def test_a_name_or_an_arn_that_was_used(store, name, arn):
    make(store, "one", "arn:one")
    with pytest.raises(Taken):
        make(store, name, arn)
    assert len(store.select("model")) == 1


def test_refused_before_anything_else_is_looked_at(store):
    make(store, "one", "arn:one")
    with pytest.raises(Taken), unique(store, "model", "one", "arn:one", refusal=Taken()):
        raise AssertionError("the body is not run")


def test_one_that_came_first_in_between(store):
    def twice() -> None:
        for _ in range(2):
            store.create("model", "one", arn="arn:one", body={})

    with pytest.raises(Taken), unique(store, "model", "one", "arn:one", refusal=Taken()):
        twice()
    assert len(store.select("model")) == 1


def test_other_errors_pass(store):
    with pytest.raises(ZeroDivisionError), unique(store, "model", "one", "arn:one", refusal=Taken()):
        1 / 0  # noqa: B018
