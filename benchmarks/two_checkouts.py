"""Before and after: two checkouts of Clary, each with its own .venv, do the same in turn; medians, spread, ratio.

    python benchmarks/two_checkouts.py BEFORE AFTER [--data pets] [--rounds 3] [--only runs,objects]

Nothing else should run. Objects: two platforms are up at once and each request goes to both in turn, raw over one kept
connection, bodies of 30 kB. Runs: `clary --help`, `clary data check`, a training of each task (the best epoch, which
no start or decoding is in, and the whole command), and from each checkout's own ``platform_speed.py`` the start of
`clary up` and CreateTrainingJob to the first batch. The order changes from round to round, since machines drift.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from _bench import machine, ready, table

EPOCHS = {"classification": 7, "detection": 2, "segmentation": 2}
# The lines of platform_speed.py that say a number of seconds.
PLATFORM = re.compile(r"(?P<up>ready after) (?P<ready>[\d.]+) s|^(?P<kind>cold|warm) +(?P<seconds>[\d.]+)$", re.M)

OBJECTS = 500

Measured = Iterator[tuple[str, float]]
Found: TypeAlias = "dict[str, dict[Path, list[float]]]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--data", type=Path, help="a data set that holds all three tasks; by default drawn pets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="runs,objects")
    options = parser.parse_args()
    print(machine())
    checkouts = [options.before.resolve(), options.after.resolve()]
    if "runs" in options.only:
        compare_runs(checkouts, options.data, options.rounds)
    if "objects" in options.only:
        compare_objects(checkouts)


def compare_runs(checkouts: list[Path], data: Path | None, rounds: int) -> None:
    found: Found = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as scratch:
        data = data.resolve() if data else _drawn(checkouts[1], Path(scratch))
        for number in range(rounds):
            for checkout in checkouts if number % 2 == 0 else reversed(checkouts):
                for name, seconds in _measure(checkout, data, Path(scratch) / "run"):
                    found[name][checkout].append(seconds)
    _print("seconds", found, checkouts)


def compare_objects(checkouts: list[Path]) -> None:
    found: Found = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as scratch, ExitStack() as running:
        clients = [
            (one, running.enter_context(_platform(one, Path(scratch) / str(number))))
            for number, one in enumerate(checkouts)
        ]
        for name, method, path, body, count in _requests():
            for number in range(count):
                for checkout, client in clients if number % 2 == 0 else reversed(clients):
                    start = time.perf_counter()
                    client.request(method, path.format(number), body)
                    answer = client.getresponse()
                    answer.read()
                    found[name][checkout].append((time.perf_counter() - start) * 1e3)
                    if answer.status >= 300:
                        raise SystemExit(f"{method} {path.format(number)} of {checkout}: {answer.status}")
    print()
    _print("milliseconds, the quickest and the slowest tenth in brackets", found, checkouts, cut=10)


def _requests() -> Iterator[tuple[str, str, str, bytes | None, int]]:
    """What is asked: its name, method, path (with the number of the request), body, and how often."""
    body = os.urandom(30_000)
    yield "PUT of a bucket", "PUT", "/bench", None, 1
    yield "PUT, new", "PUT", "/bench/folder/{:04d}.jpg", body, OBJECTS
    yield "PUT over another", "PUT", "/bench/folder/{:04d}.jpg", body, OBJECTS
    yield "HEAD", "HEAD", "/bench/folder/{:04d}.jpg", None, OBJECTS
    yield "GET", "GET", "/bench/folder/{:04d}.jpg", None, OBJECTS
    yield f"LIST of {OBJECTS}", "GET", "/bench?list-type=2&prefix=folder/", None, 30
    yield "DELETE", "DELETE", "/bench/folder/{:04d}.jpg", None, OBJECTS


@contextmanager
def _platform(checkout: Path, home: Path) -> Iterator[http.client.HTTPConnection]:
    """A checkout's `clary up`, without a process that loads the libraries."""
    words = [str(checkout / ".venv/bin/clary"), "up", "--home", str(home), "--port", "0", "--no-warm"]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=checkout)
    try:
        while not (home / "server.json").exists():
            time.sleep(0.05)
        url = json.loads((home / "server.json").read_text())["url"]
        ready(f"{url}/clary/health")
        yield http.client.HTTPConnection(url.removeprefix("http://"))
    finally:
        child.terminate()
        child.wait()


def _print(unit: str, found: Found, checkouts: list[Path], cut: int = 0) -> None:
    """``cut``: of how many values one at each end is left out of the spread; 0 for none."""
    rows = []
    for name, both in found.items():
        before, after = (sorted(both[one]) for one in checkouts)
        ratio = statistics.median(after) / statistics.median(before)
        rows.append([name, _said(before, cut), _said(after, cut), f"{ratio:.2f}"])
    table([unit, "before", "after", "ratio"], rows)


def _measure(checkout: Path, data: Path, run: Path) -> Measured:
    yield "clary --help", min(_clary(checkout, "--help") for _ in range(3))
    yield "clary data check", _clary(checkout, "data", "check", data)
    for task, epochs in EPOCHS.items():
        shutil.rmtree(run, ignore_errors=True)
        yield f"clary train {task}", _clary(checkout, "train", task, data, "--out", run, "--epochs", epochs)
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        done = [one for one in records if one["kind"] == "epoch"]
        # Of those at full size: the first ones of a run may be on smaller pictures.
        full = max(one.get("image_size") or 0 for one in done)
        yield f"an epoch of {task}", min(one["seconds"] for one in done if (one.get("image_size") or 0) == full)
    words = [str(checkout / ".venv/bin/python"), "benchmarks/platform_speed.py", "--only", "up,job"]
    output = subprocess.run(words, cwd=checkout, check=True, capture_output=True, text=True).stdout
    seen = defaultdict(list)
    for line in PLATFORM.finditer(output):
        seen[line["kind"] or "up"].append(float(line["seconds"] or line["ready"]))
    yield "clary up", seen["up"][0]
    yield "CreateTrainingJob to the first batch, cold", min(seen["cold"])
    yield "the same, warm", min(seen["warm"])


def _clary(checkout: Path, *words: object) -> float:
    """Seconds that a command takes as a whole process."""
    start = time.perf_counter()
    command = [str(checkout / ".venv/bin/clary"), *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=checkout.parent)
    return time.perf_counter() - start


def _drawn(checkout: Path, scratch: Path) -> Path:
    _clary(checkout, "data", "draw", scratch / "pets")
    return scratch / "pets"


def _said(ordered: list[float], cut: int) -> str:
    out = len(ordered) // cut if cut else 0
    return f"{statistics.median(ordered):.3g} ({ordered[out]:.3g} to {ordered[-1 - out]:.3g})"


if __name__ == "__main__":
    main()
