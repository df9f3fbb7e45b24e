"""Search: resources whose properties satisfy an expression of filters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from clary.control.jobs.folders import TRAINING_JOB
from clary.control.jobs.trial_components import COMPONENT, EXPERIMENT, TRIAL
from clary.control.platform import Platform
from clary.control.resources.experiments import experiment_members
from clary.control.resources.trial_components import component_entity, component_metrics, parents_of
from clary.control.resources.trials import trial_members
from clary.control.store.records import Record
from clary.control.wire import paging, timestamps
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, operation
from clary.control.wire.services import Shape, describe
from clary.wording import similar_names

__all__: list[str] = []

Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Searched:
    """A resource of Search: its kind in the store, the prefix of its own members, which is its name in results too, and
    what makes a record one, made once a search for all that may be found."""

    kind: str
    prefix: str
    entities: Callable[[Platform, list[Record]], Callable[[Record], Entity]]


def _plain(prefix: str) -> Callable[[Platform, list[Record]], Callable[[Record], Entity]]:
    return lambda platform, records: partial(_entity, prefix=prefix)


def _components(platform: Platform, records: list[Record]) -> Callable[[Record], Entity]:
    parents = parents_of(platform, records)
    return lambda record: component_entity(platform, record, parents)


# SDK v2's register() finds a model package group by this operation, ExperimentAnalytics all it shows, and Run() whether
# a component belongs to a trial; the others are those that people search for.
RESOURCES = {
    "TrainingJob": Searched(TRAINING_JOB, "TrainingJob", _plain("TrainingJob")),
    "Endpoint": Searched("endpoint", "Endpoint", _plain("Endpoint")),
    "ModelPackageGroup": Searched("model-package-group", "ModelPackageGroup", _plain("ModelPackageGroup")),
    "ModelPackage": Searched("model-package", "ModelPackage", _plain("ModelPackage")),
    "Experiment": Searched(EXPERIMENT, "Experiment", lambda platform, records: experiment_members),
    "ExperimentTrial": Searched(TRIAL, "Trial", lambda platform, records: trial_members),
    "ExperimentTrialComponent": Searched(COMPONENT, "TrialComponent", _components),
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

# What is searched by and stands nowhere in the description of a resource: tags by their key, and the time by which
# everything is sorted unless it is said. So do metrics (API reference, Filter), in either case: AWS's own notebooks
# sort by ``metrics.test:accuracy.max``.
_OTHERS = ("Tags", "LastModifiedTime")

SortKey = list[Any]  # rank of the type, value, name: comparable, and plain JSON


@operation("sagemaker", "Search")
async def search(platform: Platform, request: Request) -> Answer:
    resource = request["Resource"]
    if resource not in RESOURCES:
        raise ValidationException(f"Clary does not search for {resource}; it searches for {', '.join(RESOURCES)}")
    _check_properties(request)
    # In the token: one of another search, whose places mean nothing in this, is refused.
    listing = f"Search {resource} {request.get('SortBy')} {request.get('SortOrder')}"
    after = paging.decode(listing, request["NextToken"]) if "NextToken" in request else None
    found = await asyncio.to_thread(_find, platform, request, after)
    limit = request.get("MaxResults", PAGE)
    result = RESOURCES[resource].prefix
    answer: dict[str, Any] = {"Results": [{result: entity} for _, entity in found[:limit]]}
    if len(found) > limit:
        answer["NextToken"] = paging.encode(listing, found[limit - 1][0])
    return answer


def _check_properties(request: Request) -> None:
    """Raises ValidationException naming a property that the resource does not have: AWS demands one that it has, and
    where a name is mistyped a search that finds nothing would hide it."""
    resource = request["Resource"]
    shape = describe("sagemaker").shapes[RESOURCES[resource].prefix]
    named = [one["Name"] for one in _filters(request.get("SearchExpression", {}))]
    for name in [*named, request.get("SortBy", "LastModifiedTime")]:
        head = name.partition(".")[0]
        if head in _OTHERS or head.lower() == "metrics" or _has(shape, name):
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


def _find(platform: Platform, request: Request, after: SortKey | None) -> list[tuple[SortKey, Entity]]:
    """What satisfies the expression, in order, behind the place ``after``; one more than a page."""
    searched = RESOURCES[request["Resource"]]
    expression = request.get("SearchExpression", {})
    sort_by, descending = request.get("SortBy", "LastModifiedTime"), request.get("SortOrder") != "Ascending"
    asked = {one["Name"].partition(".")[0].lower() for one in _filters(expression)}
    by_metric = searched.kind == COMPONENT and sort_by.lower().startswith("metrics.")
    candidates = _candidates(platform, searched, expression)
    entity_of = searched.entities(platform, candidates)
    found = []
    for record in candidates:
        entity = known = entity_of(record)
        # From tables of their own; most searches do not ask for them.
        if "tags" in asked:
            known = {**known, "Tags": platform.store.tags(record.arn)}
        if "metrics" in asked and searched.kind == COMPONENT:
            known = _measured(platform, record, known)
        if _satisfies(known, expression):
            # Only of what is found: it costs more than all the rest.
            known = _measured(platform, record, known) if by_metric and "metrics" not in asked else known
            key = _sort_key(next(_values(known, sort_by), None), record.name)
            if after is None or (key < after if descending else key > after):
                found.append((key, record, entity))
    found.sort(key=lambda one: one[0], reverse=descending)
    # One more than is shown says whether there is a next page.
    found = found[: request.get("MaxResults", PAGE) + 1]
    return [(key, _whole(platform, searched, record, entity)) for key, record, entity in found]


def _measured(platform: Platform, record: Record, entity: Entity) -> Entity:
    """With the metrics of a trial component, by their names."""
    return {**entity, "Metrics": {one["MetricName"]: one for one in component_metrics(platform, record)}}


def _candidates(platform: Platform, searched: Searched, expression: dict[str, Any]) -> list[Record]:
    """The records that may satisfy the expression: one where it names it, as SDK v2's Run() does for each run."""
    if expression.get("Operator", "And") == "And":
        for one in expression.get("Filters", ()):
            if one["Name"] == f"{searched.prefix}Name" and one.get("Operator", "Equals") == "Equals":
                record = platform.store.get(searched.kind, one.get("Value", ""))
                return [record] if record else []
    return platform.store.select(searched.kind)


def _whole(platform: Platform, searched: Searched, record: Record, entity: Entity) -> Entity:
    """With what is in tables of its own."""
    tags = platform.store.tags(record.arn)
    whole = {**entity, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    if searched.kind == COMPONENT:
        whole["Metrics"] = component_metrics(platform, record)
    return whole


def _entity(record: Record, prefix: str) -> Entity:
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
        # The longest name that there is: a metric, and a key of a map, may have dots in it.
        head, rest = name, ""
        while (value := _named(node, head)) is None and "." in head:
            head, _, more = head.rpartition(".")
            rest = f"{more}.{rest}" if rest else more
        if value is not None:
            yield from _values(value, rest)


def _named(node: dict[str, Any], name: str) -> Any:
    """A member by its name, in whatever case: the names of metrics' statistics are written in both."""
    if name in node:
        return node[name]
    return next((value for key, value in node.items() if key.lower() == name.lower()), None)


def _sort_key(value: Any, name: str) -> SortKey:
    if value is None:
        # The name makes every key another, so a page goes on exactly behind the last one.
        return [0, 0, name]
    if isinstance(value, int | float):
        return [1, value, name]
    return [2, str(value), name]
