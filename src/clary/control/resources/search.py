"""Search: resources whose properties satisfy an expression of filters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from clary.control.jobs.folders import TRAINING_JOB
from clary.control.platform import Platform
from clary.control.store.records import Record
from clary.control.wire import paging, timestamps
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, operation
from clary.control.wire.services import Shape, describe
from clary.wording import similar_names

__all__: list[str] = []

# resource as Search names it -> kind in the store, and the prefix of its own members
# SDK v2's register() finds a model package group by this operation; the others are those that people search for.
KINDS = {
    "TrainingJob": (TRAINING_JOB, "TrainingJob"),
    "Endpoint": ("endpoint", "Endpoint"),
    "ModelPackageGroup": ("model-package-group", "ModelPackageGroup"),
    "ModelPackage": ("model-package", "ModelPackage"),
}
PAGE = 10
# how a property may stand to the filter's value
ORDERS = {
    "Equals": (0,),
    "GreaterThan": (1,),
    "GreaterThanOrEqualTo": (0, 1),
    "LessThan": (-1,),
    "LessThanOrEqualTo": (-1, 0),
}

# What is searched by and stands nowhere in the description of a resource: metrics of training jobs (API reference,
# Filter), tags by their key, and the time by which everything is sorted unless it is said.
_OTHERS = ("Metrics", "Tags", "LastModifiedTime")

SortKey = list[Any]  # rank of the type, value, name: comparable, and plain JSON


@operation("sagemaker", "Search")
async def search(platform: Platform, request: Request) -> Answer:
    resource = request["Resource"]
    if resource not in KINDS:
        raise ValidationException(f"Clary does not search for {resource}; it searches for {', '.join(KINDS)}")
    _check_properties(request)
    # In the token: one of another search, whose places mean nothing in this, is refused.
    listing = f"Search {resource} {request.get('SortBy')} {request.get('SortOrder')}"
    after = paging.decode(listing, request["NextToken"]) if "NextToken" in request else None
    found = await asyncio.to_thread(_find, platform, request, after)
    limit = request.get("MaxResults", PAGE)
    answer: dict[str, Any] = {"Results": [{resource: entity} for _, entity in found[:limit]]}
    if len(found) > limit:
        answer["NextToken"] = paging.encode(listing, found[limit - 1][0])
    return answer


def _check_properties(request: Request) -> None:
    """Raises ValidationException naming a property that the resource does not have: AWS demands one that it has, and
    where a name is mistyped a search that finds nothing would hide it."""
    resource = request["Resource"]
    shape = describe("sagemaker").shapes[resource]
    named = [one["Name"] for one in _filters(request.get("SearchExpression", {}))]
    for name in [*named, request.get("SortBy", "LastModifiedTime")]:
        head = name.partition(".")[0]
        if head in _OTHERS or _has(shape, name):
            continue
        near = similar_names(head, shape["members"]) if head not in shape["members"] else []
        meant = f"; is {near[0]} meant?" if near else ""
        raise ValidationException(f"{resource} has no property {name}{meant}")


def _filters(expression: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from expression.get("Filters", ())
    for one in expression.get("SubExpressions", ()):
        yield from _filters(one)


def _has(shape: Shape, name: str) -> bool:
    """Whether a path of names, with dots between, leads to something in a shape."""
    shapes = describe("sagemaker").shapes
    while shape["type"] == "list":
        shape = shapes[shape["member"]["shape"]]
    if not name or shape["type"] == "map":  # a key of a map may have dots
        return True
    head, _, rest = name.partition(".")
    member = shape.get("members", {}).get(head)
    return member is not None and _has(shapes[member["shape"]], rest)


def _find(platform: Platform, request: Request, after: SortKey | None) -> list[tuple[SortKey, dict[str, Any]]]:
    """What satisfies the expression, in order, behind the place ``after``; one more than a page."""
    kind, prefix = KINDS[request["Resource"]]
    expression = request.get("SearchExpression", {})
    # Tags are read from a table of their own; most searches do not ask for them.
    tagged = any(one["Name"].startswith("Tags.") for one in _filters(expression))
    sort_by, descending = request.get("SortBy", "LastModifiedTime"), request.get("SortOrder") != "Ascending"
    found = []
    for record in platform.store.select(kind):
        entity = _entity(record, prefix)
        searched = {**entity, "Tags": platform.store.tags(record.arn)} if tagged else entity
        if _satisfies(searched, expression):
            key = _sort_key(next(_values(entity, sort_by), None), record.name)
            if after is None or (key < after if descending else key > after):
                found.append((key, entity))
    found.sort(key=lambda pair: pair[0], reverse=descending)
    # One more than is shown says whether there is a next page.
    found = found[: request.get("MaxResults", PAGE) + 1]
    for _, entity in found:
        tags = platform.store.tags(entity[f"{prefix}Arn"])
        entity["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return found


def _entity(record: Record, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}Name": record.name,
        # The record's status is the approval, which lists filter by.
        f"{prefix}Status": "Completed" if prefix == "ModelPackage" else record.status,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        **record.body,
        "Metrics": {one["MetricName"]: one["Value"] for one in record.body.get("FinalMetricDataList") or ()},
        f"{prefix}Arn": record.arn,
    }


def _satisfies(entity: dict[str, Any], expression: dict[str, Any]) -> bool:
    if expression.get("NestedFilters"):
        raise ValidationException("Clary does not search by NestedFilters; use Filters")
    verdicts = [_passes(entity, one) for one in expression.get("Filters", ())]
    verdicts += [_satisfies(entity, one) for one in expression.get("SubExpressions", ())]
    if not verdicts:
        return True
    return any(verdicts) if expression.get("Operator") == "Or" else all(verdicts)


def _passes(entity: dict[str, Any], wanted: dict[str, Any]) -> bool:
    values = list(_values(entity, wanted["Name"]))
    operator, text = wanted.get("Operator", "Equals"), wanted.get("Value", "")
    match operator:
        case "Exists":
            return bool(values)
        case "NotExists":
            return not values
        case "Contains":
            return any(text in str(value) for value in values)
        case "In":
            return any(str(value) in [part.strip() for part in text.split(",")] for value in values)
    orders = [_order(value, text) for value in values]
    if operator == "NotEquals":
        return 0 not in orders
    return any(order in ORDERS[operator] for order in orders)


def _order(value: Any, text: str) -> int | None:
    """-1, 0 or 1 as a property stands to the text of a filter; None where the two cannot be compared."""
    if isinstance(value, bool):
        return 0 if str(value).lower() == text.lower() else None
    if isinstance(value, int | float):
        try:
            other = float(text)
        except ValueError:
            try:
                # Times in records are numbers, epoch seconds; filters write them in ISO 8601.
                other = timestamps.parse(text).timestamp()
            except (ValueError, OverflowError):
                return None
        return (value > other) - (value < other)
    return (str(value) > text) - (str(value) < text)


def _values(node: Any, name: str) -> Iterator[Any]:
    """The values of a property; dots go into structures and maps, and into every item of a list."""
    if isinstance(node, list):
        for item in node:
            yield from _values(item, name)
    elif not name:
        if node is not None:
            yield node
    elif isinstance(node, dict):
        if name in node:
            yield from _values(node[name], "")
        else:
            head, _, rest = name.partition(".")
            if rest and head in node:
                yield from _values(node[head], rest)


def _sort_key(value: Any, name: str) -> SortKey:
    if value is None:
        # The name makes every key another, so a page goes on exactly behind the last one.
        return [0, 0, name]
    if isinstance(value, int | float):
        return [1, value, name]
    return [2, str(value), name]
