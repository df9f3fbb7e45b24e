"""Metrics of a job, found in its log by regular expressions.

Each event of the log is searched once, also when the gateway is killed in between: the points and the place in the log
are stored together. Expressions are the customer's and may take for ever on some line, so the text searched is
bounded, and those that could go wrong are run in a process that can be ended.

    python -m clary.control.jobs.metrics        expressions and messages in, as JSON; what was found out
"""

from __future__ import annotations

import json
import logging
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from clary.control.logs.streams import LogStore
from clary.control.store.records import Point, Store

__all__ = ["NAMESPACE", "MetricScanner", "final_metrics"]

NAMESPACE = "/aws/sagemaker/TrainingJobs"
BATCH = 2_000  # events of one scan
TEXT_LIMIT = 1_000  # characters of an event that are searched
SCAN_SECONDS = 10.0  # for one batch of events, where an expression is searched in a process of its own
# A repeated group or a back reference may take exponential time, many open repetitions a high power of the length.
_RISKY = re.compile(r"\)[*+{]|\\[1-9]|\(\?P=")
_REPETITION = re.compile(r"(?<!\\)[*+]|\{\d+,\}")
MOST_REPETITIONS = 4

_log = logging.getLogger(__name__)

Found = tuple[int, float]  # index of a message, value found in it


class MetricScanner:
    """Reads the log of one job as it grows. Not for several threads at once; its methods block."""

    def __init__(self, body: Mapping[str, Any], store: Store, logs: LogStore, group: str, stream: str) -> None:
        self._definitions = _definitions(body)
        self._dimensions = {"TrainingJobName": str(body["TrainingJobName"])}
        self._store = store
        self._events = partial(logs.events, group, stream)
        self._has_log = partial(logs.has_stream, group, stream)
        self._cursor = stream  # holds the job's name and when it was made

    def scan(self) -> None:
        """Store the points of all events that came since the last scan. Raises StoreError; the next scan goes on."""
        if not self._definitions or not self._has_log():
            return
        while events := self._events(self._store.cursor(self._cursor), BATCH):
            # Cut before the search: time grows with the text, for some expressions with a power of its length.
            messages = [event.message[:TEXT_LIMIT] for event in events]
            points = [
                Point(NAMESPACE, name, self._dimensions, events[at].timestamp / 1000, value)
                # A copy: a search that takes too long strikes its metric off.
                for name, pattern in list(self._definitions.items())
                for at, value in self._search(name, pattern, messages)
            ]
            points.sort(key=lambda point: point.time)
            self._store.add_points(points, (self._cursor, events[-1].index + 1))

    def _search(self, name: str, pattern: str, messages: Sequence[str]) -> list[Found]:
        if not _is_risky(pattern):
            return search(pattern, messages)
        try:
            return _search_apart(pattern, messages)
        except subprocess.TimeoutExpired:
            _log.warning("the regex of the metric %s takes too long and is not searched any more: %s", name, pattern)
            del self._definitions[name]
            return []


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


def search(pattern: str, messages: Iterable[str]) -> list[Found]:
    """The first group of ``pattern`` in each message where it is a finite number; the whole match without groups."""
    compiled = re.compile(pattern)
    found = []
    for index, message in enumerate(messages):
        if match := compiled.search(message):
            # SageMaker takes the first group. Without one it is the whole match that must be a number.
            value = _number(match.group(1) if compiled.groups else match.group())
            if math.isfinite(value):
                found.append((index, value))
    return found


def _definitions(body: Mapping[str, Any]) -> dict[str, str]:
    given = body["AlgorithmSpecification"].get("MetricDefinitions") or ()
    return {definition["Name"]: definition["Regex"] for definition in given}


def _is_risky(pattern: str) -> bool:
    return bool(_RISKY.search(pattern)) or len(_REPETITION.findall(pattern)) > MOST_REPETITIONS


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _search_apart(pattern: str, messages: Sequence[str]) -> list[Found]:
    done = subprocess.run(
        # -P: what lies in the working folder is not imported.
        [sys.executable, "-P", "-m", "clary.control.jobs.metrics"],
        input=json.dumps({"pattern": pattern, "messages": messages}),
        capture_output=True,
        text=True,
        timeout=SCAN_SECONDS,
        check=True,
    )
    return [(index, value) for index, value in json.loads(done.stdout)]


def main() -> None:
    request = json.load(sys.stdin)
    json.dump(search(request["pattern"], request["messages"]), sys.stdout)


if __name__ == "__main__":
    main()
