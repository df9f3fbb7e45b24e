"""Before and after: two checkouts of Clary, each with its own .venv, do the same in turn; medians, spread, ratio.

    python benchmarks/two_checkouts.py BEFORE AFTER [--data pets] [--rounds 3]

Nothing else should run. Measured are `clary --help`, `clary data check`, a training of each task (the best epoch, which
no start or decoding is in, and the whole command), and from each checkout's own ``platform_speed.py`` the start of
`clary up` and CreateTrainingJob to the first batch. The order changes from round to round, since machines drift.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from _bench import machine, table

EPOCHS = {"classification": 7, "detection": 2, "segmentation": 2}
# The lines of platform_speed.py that say a number of seconds.
PLATFORM = re.compile(r"(?P<up>ready after) (?P<ready>[\d.]+) s|^(?P<kind>cold|warm) +(?P<seconds>[\d.]+)$", re.M)

Measured = Iterator[tuple[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--data", type=Path, help="a data set that holds all three tasks; by default drawn pets")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    found: dict[str, dict[Path, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as scratch:
        data = options.data.resolve() if options.data else _drawn(options.after.resolve(), Path(scratch))
        for number in range(options.rounds):
            pair = [options.before.resolve(), options.after.resolve()]
            for checkout in pair if number % 2 == 0 else reversed(pair):
                for name, seconds in _measure(checkout, data, Path(scratch) / "run"):
                    found[name][checkout].append(seconds)
    rows = []
    for name, both in found.items():
        before, after = (sorted(both[one.resolve()]) for one in (options.before, options.after))
        ratio = statistics.median(after) / statistics.median(before)
        rows.append([name, _said(before), _said(after), f"{ratio:.2f}"])
    table(["seconds", "before", "after", "ratio"], rows)


def _measure(checkout: Path, data: Path, run: Path) -> Measured:
    yield "clary --help", min(_clary(checkout, "--help") for _ in range(3))
    yield "clary data check", _clary(checkout, "data", "check", data)
    for task, epochs in EPOCHS.items():
        shutil.rmtree(run, ignore_errors=True)
        yield f"clary train {task}", _clary(checkout, "train", task, data, "--out", run, "--epochs", epochs)
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        yield f"an epoch of {task}", min(one["seconds"] for one in records if one["kind"] == "epoch")
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


def _said(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3g} ({seconds[0]:.3g} to {seconds[-1]:.3g})"


if __name__ == "__main__":
    main()
