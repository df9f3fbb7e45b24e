"""What verbs share: tables and JSON on standard output, notes and progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from clary.errors import one_line

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["emit", "note", "progress", "table", "transfers"]

# Chosen: a log of a long job stays readable, and a person sees that it lives.
_ANY = 100_000  # columns: a width in which every table fits
PLAIN_EVERY = 5.0  # seconds between progress lines where there is no terminal

Advance = Callable[..., None]
Transfer = Callable[[str, int, int | None], None]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, sentences: bool = False) -> None:
    """Print a table: drawn on a terminal, aligned by spaces elsewhere. A column of numbers is aligned to the right.

    The first column is what a row is called. ``sentences``: the last column holds sentences, which stand below the
    table on a terminal, each with its row's name.
    """
    numeric = [bool(rows) and all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]
    cells = [[_text(value) for value in row] for row in rows]
    # Frames are for eyes; what is piped is cut by `awk` and `cut`.
    if sys.stdout.isatty():
        kept = len(columns) - sentences
        _drawn(title, columns[:kept], [row[:kept] for row in cells], numeric[:kept])
        for row in cells:
            if sentences and row[-1]:
                print(f"{row[0]}: {row[-1]}")
    else:
        _aligned(title, columns, cells, numeric)


def emit(value: Any) -> None:
    """Print ``value`` as JSON, in ASCII so that any terminal takes it; nothing else may go to standard output."""
    print(json.dumps(value, indent=2))


def note(text: str) -> None:
    """A line for the reader, not for the next program."""
    print(text, file=sys.stderr)


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show how far ``total`` things are; calls of the function it gives (``advance(n=1)``) count them.

    A bar on a terminal; elsewhere a line now and then, and one at the end.
    """
    with _bar(description, total) if sys.stderr.isatty() else _lines(description, total) as advance:
        yield advance


@contextmanager
def transfers() -> Iterator[Transfer]:
    """Show files on their way; the function it gives takes what is fetched, bytes so far, bytes in all if known."""
    with _bars() if sys.stderr.isatty() else _byte_lines() as tell:
        yield tell


@contextmanager
def _bars() -> Iterator[Transfer]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


@contextmanager
def _byte_lines() -> Iterator[Transfer]:
    last: dict[str, float] = {}

    def tell(what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - last.setdefault(what, 0.0) >= PLAIN_EVERY or done == total:
            last[what] = now
            note(f"{what}: {done / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB"))

    yield tell


@contextmanager
def _bar(description: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Transient: what is said next tells that it is done.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n=1: bar.advance(task, n)


@contextmanager
def _lines(description: str, total: int) -> Iterator[Advance]:
    done, last = 0, time.monotonic()
    lock = Lock()  # things may be done by several threads

    def advance(n: int = 1) -> None:
        nonlocal done, last
        with lock:
            done += n
            if time.monotonic() - last >= PLAIN_EVERY and done < total:
                last = time.monotonic()
                note(f"{description}: {done} of {total}")

    yield advance
    note(f"{description}: {done} of {total}")


def _text(value: Any) -> str:
    # Names of files and messages may hold line ends, which would break a row.
    return one_line(f"{value:.4g}" if isinstance(value, float) else str(value))


def _drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    # Escaped: rich takes [brackets], which names may have, for markup.
    drawn = Table(title=escape(title) or None, box=SIMPLE_HEAD, title_justify="left")
    for name, right in zip(columns, numeric, strict=True):
        drawn.add_column(escape(name), justify="right" if right else "left")
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    # Cut or folded cells help nobody: a name is what the next command wants, the end of a path is what tells it apart.
    if rows and console.measure(drawn, options=console.options.update(width=_ANY)).maximum > console.width:
        _listed(title, columns, rows)
    else:
        console.print(drawn)


def _listed(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table too wide for the terminal: below each row's name, what the other columns say of it."""
    if title:
        print(f"{title}\n")
    for name, *cells in rows:
        if name:
            print(name)
        print("  " + ", ".join(f"{column} {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell))


def _aligned(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    if title:
        print(title)
    for row in [columns, *rows]:
        pairs = zip(row, widths, numeric, strict=True)
        print("  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in pairs).rstrip())
