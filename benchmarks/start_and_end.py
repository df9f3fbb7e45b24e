"""Where the seconds of `clary train` go that are no steps: from its start to the first step, from the last step to its
end, by phase; and those of `clary quickstart` by stage.

    python benchmarks/start_and_end.py [--task classification] [--rounds 3] [--cold] [--before CHECKOUT]
    python benchmarks/start_and_end.py --quickstart [all]

A phase begins with the line that the program prints, so nothing of Clary's own is measured by Clary; the first step is
done when it stands in metrics.jsonl, the export when there is an archive. Processor time is of all threads. With
``--cold`` no page of the installed packages and of the pictures is in memory at first (``posix_fadvise``: of what no
other program uses). ``--before`` measures another checkout, which has a .venv of its own, in turn with this one.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from _bench import cpu_seconds, machine, pets, table

# What begins with such a line; a line that begins none is part of the phase it is in.
PHASES = {
    "reading pictures": "imports of the command line",
    "checking pictures": "reading pictures",
    "loading PyTorch": "checking pictures",
    "loading the network": "loading PyTorch",
    "decoding pictures": "loading the network",
    "trying bf16": "decoding pictures",
    "start:": "decoding pictures, choosing a precision",
    "first step": "first step",
    "end:": "later steps",
    "archive": "export",
    "testing:": "test split",
    "next:": "report",
    "exit": "end of the process",
}
TO_FIRST_STEP = "to the first step"
FROM_LAST_STEP = "from the last step to the end"
STAGE = re.compile(r"^(?:(?P<task>\w+)  )?(?P<stage>data|train|evaluate|predict|report): .*, (?P<seconds>[0-9.]+) s$")

# Seconds by phase, and processor seconds.
Times = dict[str, tuple[float, float]]
Mark = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="classification")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--before", type=Path, help="another checkout, measured in turn with this one")
    parser.add_argument("--quickstart", nargs="?", const="classification", metavar="TASK", help="its stages instead")
    options = parser.parse_args()
    checkouts = [*([options.before.resolve()] if options.before else []), Path(__file__).resolve().parents[1]]
    print(machine())
    found: dict[Path, list[Times]] = {one: [] for one in checkouts}
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as scratch:
        data = pets() or _drawn(Path(scratch))
        for number in range(options.rounds):
            # In turn, and the order turned: machines drift.
            for checkout in checkouts if number % 2 == 0 else reversed(checkouts):
                out = Path(scratch) / f"{number}-{checkouts.index(checkout)}"
                if options.cold:
                    drop([*_installed(checkout), *data.rglob("*")])
                if options.quickstart:
                    found[checkout].append(quickstart(checkout, options.quickstart, out))
                else:
                    found[checkout].append(train(checkout, options.task, data, out, options.epochs))
    _print(found, "cold" if options.cold else "warm")


def train(checkout: Path, task: str, data: Path, out: Path, epochs: int) -> Times:
    """Seconds of each phase of one `clary train`."""
    words = ["train", task, str(data), "--out", str(out), "--epochs", str(epochs)]
    times: Times = {}
    begin = since = last = (time.perf_counter(), 0.0)
    for line, now in _lines(checkout, words, out / "metrics.jsonl"):
        phase = next((name for start, name in PHASES.items() if line.startswith(start)), None)
        if phase:
            before = times.get(phase, (0.0, 0.0))
            times[phase] = (before[0] + now[0] - since[0], before[1] + now[1] - since[1])
            since = now
        if line == "first step":
            times[TO_FIRST_STEP] = _between(begin, now)
        if line.startswith("end:"):
            last = now
    return times | {FROM_LAST_STEP: _between(last, since), "whole": _between(begin, since)}


def quickstart(checkout: Path, task: str, out: Path) -> Times:
    """Seconds of each stage of one `clary quickstart`, as it tells them, and of the whole process."""
    times: Times = {}
    begin = since = (time.perf_counter(), 0.0)
    for line, now in _lines(checkout, ["quickstart", "--task", task, "--out", str(out)], out / "metrics.jsonl"):
        if stage := STAGE.match(line):
            times[" ".join(filter(None, (stage["task"], stage["stage"])))] = _between(since, now)
            since = now
    return times | {"whole": _between(begin, now)}


def _between(first: Mark, then: Mark) -> tuple[float, float]:
    return then[0] - first[0], then[1] - first[1]


def _lines(checkout: Path, words: Sequence[str], metrics: Path) -> Iterator[tuple[str, Mark]]:
    """Each line of a `clary` command, when it came and what processor time was used until then; "first step",
    "archive" and "exit" are ours."""
    command = [str(checkout / ".venv/bin/clary"), *words]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    queue: SimpleQueue[tuple[str, Mark]] = SimpleQueue()
    with subprocess.Popen(command, text=True, cwd=metrics.parents[1], **output) as child:  # type: ignore[call-overload]
        threads = [threading.Thread(target=one, args=(child, metrics, queue)) for one in (_read, _watch)]
        for thread in threads:
            thread.start()
        said = []
        while threads[0].is_alive() or not queue.empty():
            with suppress(Empty):
                line, when = queue.get(timeout=0.05)
                said.append(line)
                yield line, when
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit("\n".join(said))
        yield "exit", (time.perf_counter(), used.ru_utime + used.ru_stime)
        threads[1].join()


def _mark(child: subprocess.Popen[str]) -> Mark:
    return time.perf_counter(), cpu_seconds(child.pid)


def _read(child: subprocess.Popen[str], metrics: Path, queue: SimpleQueue[tuple[str, Mark]]) -> None:
    for line in child.stdout or ():
        queue.put((line.rstrip("\n"), _mark(child)))


def _watch(child: subprocess.Popen[str], metrics: Path, queue: SimpleQueue[tuple[str, Mark]]) -> None:
    signs: list[tuple[str, Callable[[], bool]]] = [
        ("first step", lambda: metrics.is_file() and '"kind": "batch"' in metrics.read_text()),
        # Packed whole, then renamed.
        ("archive", (metrics.parent / "model.tar.gz").is_file),
    ]
    while signs and child.returncode is None:
        if signs[0][1]():
            queue.put((signs.pop(0)[0], _mark(child)))
        time.sleep(0.005)


def drop(files: Sequence[Path]) -> None:
    """Let go of the pages of these files that no program uses."""
    for path in files:
        if path.is_file() and not path.is_symlink():
            place = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(place, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(place)


def _installed(checkout: Path) -> list[Path]:
    found = next((checkout / ".venv/lib").glob("python*/site-packages"))
    return [path for path in found.rglob("*") if path.suffix in (".py", ".pyc", ".so", ".pth") or ".so." in path.name]


def _drawn(scratch: Path) -> Path:
    from clary.drawn import draw_pets

    return draw_pets(scratch / "drawn")


def _print(found: dict[Path, list[Times]], pages: str) -> None:
    names = list(dict.fromkeys(name for rounds in found.values() for times in rounds for name in times))
    names.sort(key=lambda name: name in (TO_FIRST_STEP, FROM_LAST_STEP, "whole"))
    rows = []
    for name in names:
        cells = []
        for rounds in found.values():
            seconds, used = zip(*sorted(times[name] for times in rounds if name in times), strict=True)
            cells.append(f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})")
            cells.append(f"{statistics.median(used):.2f}")
        rows.append([name, *cells])
    table([f"pages {pages}", *(word for one in found for word in (f"{one.name}: seconds", "processor"))], rows)


if __name__ == "__main__":
    main()
