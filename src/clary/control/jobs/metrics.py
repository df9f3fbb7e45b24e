"""Metrics of a job, found in its log by regular expressions.

Each event of the log is searched once, also when the gateway is killed in between: the points and the place in the log
are stored together. Expressions are the customer's and may take for ever on some line: they are searched in another
process, with a limit, and one that reaches it is struck off for the rest of the job, which its log says once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from clary.control.jobs import metric_search
from clary.control.logs.streams import LogStore
from clary.control.store.records import Point, Store

__all__ = ["NAMESPACE", "MetricScanner", "final_metrics"]

NAMESPACE = "/aws/sagemaker/TrainingJobs"
BATCH = 2_000  # events of one scan
TEXT_LIMIT = 1_000  # characters of an event that are searched


class MetricScanner:
    """Reads the log of one job as it grows. Not for several threads at once; its methods block."""

    def __init__(self, body: Mapping[str, Any], store: Store, logs: LogStore, group: str, stream: str) -> None:
        self._dimensions = {"TrainingJobName": str(body["TrainingJobName"])}
        self._store = store
        self._events = partial(logs.events, group, stream)
        self._has_log = partial(logs.has_stream, group, stream)
        self._writer = partial(logs.writer, group, stream)
        self._cursor = stream  # holds the job's name and when it was made
        # One that was struck off before the gateway was started anew stays so.
        self._definitions = {n: text for n, text in _definitions(body).items() if not store.cursor(self._struck(n))}

    def scan(self) -> None:
        """Store the points of all events that came since the last scan. Raises StoreError; the next scan goes on."""
        if not self._definitions or not self._has_log():
            return
        while self._definitions and (events := self._events(self._store.cursor(self._cursor), BATCH)):
            # Cut before the search: time grows with the text, for some expressions with a power of its length.
            found = metric_search.search(self._definitions, [event.message[:TEXT_LIMIT] for event in events])
            points = [
                Point(NAMESPACE, name, self._dimensions, events[at].timestamp / 1000, value)
                for name, values in found.items()
                for at, value in values or ()
            ]
            points.sort(key=lambda point: point.time)
            for name in [name for name, values in found.items() if values is None]:
                self._strike_off(name)
            self._store.add_points(points, (self._cursor, events[-1].index + 1))

    def _struck(self, name: str) -> str:
        return f"{self._cursor} without {name}"

    def _strike_off(self, name: str) -> None:
        del self._definitions[name]
        # Kept before it is said: so that it is said once, whatever happens in between.
        if self._store.add_points([], (self._struck(name), 1)):
            log = self._writer()
            try:
                log.write(
                    f"The metric {name} is not collected any more: its regular expression takes too long on lines of "
                    "this log (write it without one repetition inside or beside another)"
                )
            finally:
                log.close()


def final_metrics(body: Mapping[str, Any], store: Store) -> list[dict[str, Any]]:
    """FinalMetricDataList of a job: the last value of each of its metrics that has any."""
    dimensions = {"TrainingJobName": str(body["TrainingJobName"])}
    # Earlier ones are of a deleted job of the same name.
    since = float(body.get("CreationTime", 0.0)) - 1.0
    found = []
    for name in _definitions(body):
        if points := store.points(NAMESPACE, name, dimensions, since, math.inf):
            found.append({"MetricName": name, "Value": points[-1].value, "Timestamp": points[-1].time})
    return found


def _definitions(body: Mapping[str, Any]) -> dict[str, str]:
    given = body["AlgorithmSpecification"].get("MetricDefinitions") or ()
    return {definition["Name"]: definition["Regex"] for definition in given}
