"""`make storm`: hostile requests, hostile files, kills and a full disk, for as long as you like; prints what it found.

    python -m tests.storm --minutes 60 --seed 0 [--only requests,kills] [--rounds 1] [--keep FOLDER]

Each kind of weather takes rounds in turn, of seeds that count up from the first; a finding names the command that
repeats its round. Exit code 1 when something was found.
"""

from __future__ import annotations

import argparse
import random
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.storm import full_disk, hostile_files, hostile_requests, kills
from tests.storm.child import REPOSITORY
from tests.storm.weather import Tally, Weather

from clary.wording import duration

WEATHERS: tuple[Weather, ...] = (hostile_requests.WEATHER, hostile_files.WEATHER, kills.WEATHER, full_disk.WEATHER)


@dataclass
class Row:
    """A line of the table: one kind of weather."""

    weather: Weather
    tally: Tally = field(default_factory=Tally)
    findings: list[str] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        tried = ", ".join(f"{count:,} {what}" for what, count in sorted(self.tally.tried.items()))
        absent = self.weather.absent()
        what = f"left out: {absent}" if absent else tried or "nothing yet"
        return f"{self.weather.name:9} {self.rounds:6} {self.seconds / 60:8.1f} {len(self.findings):6}  {what}"


def main(words: Sequence[str]) -> int:
    # Who stops it with a signal wants the servers stopped and the table, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = _arguments(words)
    names = arguments.only.split(",") if arguments.only else [weather.name for weather in WEATHERS]
    rows = [Row(weather) for weather in WEATHERS if weather.name in names]
    ready = [row for row in rows if not row.weather.absent()]
    deadline = time.monotonic() + 60 * arguments.minutes
    print(f"seed {arguments.seed}; {' '.join(row.weather.name for row in ready)}", flush=True)
    try:
        while row := _next(ready, deadline, arguments.rounds):
            _round(row, arguments.seed + row.rounds, arguments.keep)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
    print(f"\n{'kind':9} {'rounds':>6} {'minutes':>8} {'found':>6}  tried")
    for row in rows:
        print(row.line())
    findings = [finding for row in rows for finding in row.findings]
    print("\n".join(["", *findings]) if findings else "\nnothing was found")
    return 1 if findings else 0


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    known = ",".join(weather.name for weather in WEATHERS)
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description="Everything that could go wrong, does.")
    parser.add_argument("--minutes", type=float, default=60.0, help="when to begin no more rounds [%(default)s]")
    parser.add_argument("--rounds", type=int, default=0, help="of each kind, in place of a time")
    parser.add_argument("--seed", type=int, default=None, help="of the first rounds [any]")
    parser.add_argument("--only", default="", help=f"kinds, of {known}")
    parser.add_argument("--keep", type=Path, default=None, help="a folder where the files of each round stay")
    found = parser.parse_args(words)
    if unknown := sorted(set(filter(None, found.only.split(","))) - set(known.split(","))):
        parser.error(f"--only: no kind is called {', '.join(unknown)}; there are {known}")
    if found.seed is None:
        found.seed = random.SystemRandom().randrange(1_000_000)
    return found


def _next(ready: Sequence[Row], deadline: float, rounds: int) -> Row | None:
    """Whose turn it is: the kind that had the least time so far."""
    if rounds:
        ready = [row for row in ready if row.rounds < rounds]
    elif time.monotonic() > deadline:
        return None
    return min(ready, key=lambda row: row.seconds, default=None)


def _round(row: Row, seed: int, keep: Path | None) -> None:
    """One round, with what it found as lines of ``row.findings``."""
    start, before = time.monotonic(), len(row.tally.found)
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{row.weather.name}-{seed}-", dir=keep))
    over = threading.Event()
    live = threading.Thread(target=_show, args=(row, seed, over), daemon=True)
    live.start()
    try:
        with row.tally.watched(f"a round of {row.weather.name}"):
            row.weather.round(seed, folder, row.tally)
    finally:
        over.set()
        live.join()
        row.rounds += 1
        row.seconds += time.monotonic() - start
        again = f"{_python()} -m tests.storm --only {row.weather.name} --seed {seed} --rounds 1"
        new = [f"{row.weather.name}: {what}  [{again}]" for what in row.tally.found[before:]]
        row.findings += new
        print("".join(f"{finding}\n" for finding in new), end="", flush=True)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _python() -> str:
    """This interpreter as it can be typed in the repository."""
    program = Path(sys.executable)
    return shlex.quote(str(program.relative_to(REPOSITORY) if program.is_relative_to(REPOSITORY) else program))


def _show(row: Row, seed: int, over: threading.Event) -> None:
    """A live line on a terminal; elsewhere one line a round."""
    start = time.monotonic()
    while not over.wait(0.5):
        if sys.stdout.isatty():
            print(f"\r\033[K{_now(row, seed, start)}", end="", flush=True)
    print(("\r\033[K" if sys.stdout.isatty() else "") + _now(row, seed, start), flush=True)


def _now(row: Row, seed: int, start: float) -> str:
    tried = ", ".join(f"{count:,} {what}" for what, count in sorted(row.tally.tried.items()))
    return f"{row.weather.name} {seed}: {duration(time.monotonic() - start)}; {tried}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
