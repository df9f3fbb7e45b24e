"""What every List operation of SageMaker shares: filters, order, page size, token. Registers no operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from clary.control.platform import Platform
from clary.control.store.records import Query, Record
from clary.control.wire import paging
from clary.control.wire.operation import Answer, Request

__all__ = ["PAGE", "listing", "sliced"]

PAGE = 10  # records where MaxResults is not given, as on AWS


def listing(
    platform: Platform,
    kind: str,
    request: Request,
    *,
    list_member: str,
    members: Callable[[Record], dict[str, Any]],
    descending: bool = False,
    status_member: str = "StatusEquals",
    name_prefix: str = "",
    part_of: str = "",
    depth: int = 1,
    whole_of: str = "",
) -> Answer:
    """Answer a List request for records of ``kind``.

    ``members`` makes the summary of a record; ``descending`` is the operation's own default order (by creation time);
    ``name_prefix``, ``part_of``, ``depth`` and ``whole_of`` (as in Query) narrow the list beside the request. Raises
    ValidationException for a wrong token.
    """
    order = request.get("SortOrder")
    query = Query(
        name_contains=request.get("NameContains", ""),
        status=request.get(status_member, ""),
        # Experiments and what belongs to them say it more shortly.
        created_after=_seconds(request.get("CreationTimeAfter", request.get("CreatedAfter"))),
        created_before=_seconds(request.get("CreationTimeBefore", request.get("CreatedBefore"))),
        modified_after=_seconds(request.get("LastModifiedTimeAfter")),
        modified_before=_seconds(request.get("LastModifiedTimeBefore")),
        sort_by=request.get("SortBy", "CreationTime"),
        descending=order == "Descending" if order else descending,
        limit=request.get("MaxResults", PAGE),
        token=request.get("NextToken"),
        name_prefix=name_prefix,
        part_of=part_of,
        depth=depth,
        whole_of=whole_of,
    )
    page = platform.store.page(kind, query)
    # The list is there even when it is empty: SDK v2 takes it by its name and would fail.
    answer: dict[str, Any] = {list_member: [members(record) for record in page.records]}
    if page.next_token:
        answer["NextToken"] = page.next_token
    return answer


def sliced(
    name: str,
    found: Sequence[tuple[list[Any], dict[str, Any]]],
    request: Request,
    *,
    list_member: str,
    descending: bool = False,
) -> Answer:
    """Answer a List request whose filters the store does not know with one page of ``found``.

    Each has the key it is sorted by, plain JSON values that tell it from every other. ``name`` is that of the list,
    with its filters: a token of another one is refused with ValidationException.
    """
    if "SortOrder" in request:
        descending = request["SortOrder"] == "Descending"
    name = f"{name} {request.get('SortBy')} {descending}"
    limit = request.get("MaxResults", PAGE)
    after = paging.decode(name, request["NextToken"]) if "NextToken" in request else None
    ordered = sorted(found, key=lambda pair: pair[0], reverse=descending)
    if after is not None:
        ordered = [pair for pair in ordered if (pair[0] < after if descending else pair[0] > after)]
    answer: dict[str, Any] = {list_member: [members for _, members in ordered[:limit]]}
    if len(ordered) > limit:
        answer["NextToken"] = paging.encode(name, ordered[limit - 1][0])
    return answer


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
