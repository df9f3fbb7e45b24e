"""Links between records, and lists by them, on every database."""

from __future__ import annotations

import pytest

from clary.control.store.records import PART, NoSuchRecord, Point, Query, Store, StoreError
from clary.control.wire.errors import ValidationException


@pytest.fixture
def tree(store: Store) -> Store:
    """The wholes ``w`` and ``v``; of ``w`` the parts ``a`` and ``b``, of those ``a1`` to ``a3`` and ``b1``."""
    for name in ("w", "v"):
        store.create("whole", name, arn=f"arn:{name}", body={})
    for name in ("a", "b"):
        store.create("middle", name, arn=f"arn:{name}", body={}, part_of=["arn:w"])
    for name in ("a1", "a2", "a3", "b1"):
        store.create("leaf", name, arn=f"arn:{name}", body={}, part_of=[f"arn:{name[0]}"])
    store.create("leaf", "alone", arn="arn:alone", body={})
    return store


def names(store: Store, kind: str, **query: object) -> list[str]:
    return [one.name for one in store.page(kind, Query(sort_by="Name", **query)).records]  # type: ignore[arg-type]


def test_lists_of_parts_and_wholes(tree: Store) -> None:
    assert names(tree, "middle", part_of="arn:w") == ["a", "b"]
    assert names(tree, "middle", part_of="arn:v") == []
    assert names(tree, "leaf", part_of="arn:w", depth=2) == ["a1", "a2", "a3", "b1"]
    assert names(tree, "leaf", part_of="arn:w") == []
    assert names(tree, "middle", whole_of="arn:b1") == ["b"]
    assert names(tree, "leaf", part_of="arn:a", descending=True) == ["a3", "a2", "a1"]
    assert names(tree, "leaf", part_of="arn:a", name_contains="2") == ["a2"]


def test_pages_of_parts(tree: Store) -> None:
    first = tree.page("leaf", Query(part_of="arn:a", limit=2))
    second = tree.page("leaf", Query(part_of="arn:a", limit=2, token=first.next_token))
    assert [one.name for one in (*first.records, *second.records)] == ["a1", "a2", "a3"]
    assert second.next_token is None
    with pytest.raises(ValidationException, match="Invalid NextToken"):
        tree.page("leaf", Query(part_of="arn:b", limit=2, token=first.next_token))


def test_a_part_of_two_wholes_is_listed_once(tree: Store) -> None:
    assert tree.link("arn:a1", "arn:b", PART) is True
    assert tree.link("arn:a1", "arn:b", PART) is False
    assert names(tree, "leaf", part_of="arn:w", depth=2) == ["a1", "a2", "a3", "b1"]
    assert names(tree, "middle", whole_of="arn:a1") == ["a", "b"]
    assert tree.unlink("arn:a1", "arn:a", PART) is True
    assert tree.unlink("arn:a1", "arn:a", PART) is False
    assert names(tree, "leaf", part_of="arn:a") == ["a2", "a3"]


def test_links_of_other_kinds(tree: Store) -> None:
    tree.link("arn:a1", "arn:v", "Produced")
    tree.link("arn:alone", "arn:v", "ContributedTo")
    assert [(one.source, one.kind) for one in tree.links(destination="arn:v")] == [
        ("arn:a1", "Produced"),
        ("arn:alone", "ContributedTo"),
    ]
    assert [one.destination for one in tree.links(source="arn:a1")] == ["arn:v"]  # no part: that is another matter
    assert tree.links(kind="Nothing") == []
    assert tree.unlink("arn:a1", "arn:v") is True
    assert tree.unlink("arn:a1", "arn:a") is False
    assert names(tree, "leaf", part_of="arn:v") == []


def test_a_link_goes_with_either_end(tree: Store) -> None:
    tree.link("arn:a1", "arn:v", "Produced")
    tree.delete("leaf", "a1")
    assert names(tree, "leaf", part_of="arn:a") == ["a2", "a3"]
    assert tree.links() == []
    tree.delete("middle", "b")
    assert tree.links(source="arn:b1", kind=PART) == []


def test_what_is_not_there_cannot_be_linked(tree: Store) -> None:
    with pytest.raises(NoSuchRecord, match="arn:none"):
        tree.link("arn:a", "arn:none", PART)
    with pytest.raises(NoSuchRecord, match="arn:gone"):
        tree.link("arn:gone", "arn:w", PART)
    with pytest.raises(StoreError):
        tree.create("leaf", "x", arn="arn:x", body={}, part_of=["arn:none"])
    assert tree.get("leaf", "x") is None


def test_summaries(store: Store) -> None:
    of = {"Job": "a"}
    store.add_points([Point("n", "loss", of, at, value) for at, value in ((1, 4.0), (2, 2.0), (3, 3.0))])
    store.add_points([Point("n", "acc", of, 2, 0.5, count=3, minimum=0.25, maximum=0.75)])
    store.add_points([Point("n", "loss", {"Job": "b"}, 9, 9.0), Point("n", "loss", {**of, "Axis": "x"}, 9, 9.0)])
    acc, loss = store.summaries("n", of)
    assert (acc.name, acc.count, acc.mean, acc.minimum, acc.maximum) == ("acc", 3, 0.5, 0.25, 0.75)
    assert (loss.name, loss.count, loss.mean, loss.last, loss.time) == ("loss", 3, 3.0, 3.0, 3)
    assert (loss.minimum, loss.maximum) == (2.0, 4.0)
    assert loss.deviation == pytest.approx((2 / 3) ** 0.5)
    (later,) = store.summaries("n", of, since=2.5)
    assert (later.name, later.count) == ("loss", 1)
    store.forget_metrics("n", of)
    assert [one.dimensions for one in store.series("n")] == [{"Job": "b"}]
    assert store.points("n", "loss", of, 0, 10) == []
