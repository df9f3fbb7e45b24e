"""What every List operation of SageMaker shares: filters, order, page size, token. Registers no operation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from clary.control.platform import Platform
from clary.control.store.records import Query, Record
from clary.control.wire.operation import Answer, Request

__all__ = ["PAGE", "listing"]

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
) -> Answer:
    """Answer a List request for records of ``kind``.

    ``members`` makes the summary of a record; ``descending`` is the operation's own default order (by creation time);
    ``name_prefix`` narrows the list beside the request. Raises ValidationException for a wrong token.
    """
    order = request.get("SortOrder")
    query = Query(
        name_contains=request.get("NameContains", ""),
        status=request.get(status_member, ""),
        created_after=_seconds(request.get("CreationTimeAfter")),
        created_before=_seconds(request.get("CreationTimeBefore")),
        modified_after=_seconds(request.get("LastModifiedTimeAfter")),
        modified_before=_seconds(request.get("LastModifiedTimeBefore")),
        sort_by=request.get("SortBy", "CreationTime"),
        descending=order == "Descending" if order else descending,
        limit=request.get("MaxResults", PAGE),
        token=request.get("NextToken"),
        name_prefix=name_prefix,
    )
    page = platform.store.page(kind, query)
    # The list is there even when it is empty: SDK v2 takes it by its name and would fail.
    answer: dict[str, Any] = {list_member: [members(record) for record in page.records]}
    if page.next_token:
        answer["NextToken"] = page.next_token
    return answer


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
