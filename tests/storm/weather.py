"""What every kind of hostile weather is: it has rounds, which a seed repeats, and says what it tried and found."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

__all__ = ["Tally", "Weather", "one_line", "tracebacks"]

# Ids of requests and processes, and numbers of things: the next fault of the same kind has others.
_CHANGING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
LONGEST = 600  # characters of a finding: who wants more repeats its round


class Tally:
    """What was tried, by a noun in the plural, and found; threads add to it."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.found: list[str] = []
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def try_(self, what: str, count: int = 1) -> None:
        with self._lock:
            self.tried[what] += count

    def find(self, what: str, detail: str = "") -> None:
        """Note a fault, once whatever the ``detail``: a thousand requests may meet the same one."""
        same = _CHANGING.sub("#", one_line(what))
        with self._lock:
            if same not in self._known:
                self._known.add(same)
                self.found.append(one_line(f"{what}: {detail}" if detail else what))

    @contextmanager
    def watched(self, doing: str) -> Iterator[None]:
        """Whatever is raised inside is a find: a weather says what may be raised, and handles that itself."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # any is a find
            self.find(f"{doing}: {type(error).__name__}: {error}")


class Weather(Protocol):
    """A member of the family: a module of this package with ``WEATHER``."""

    name: str

    def absent(self) -> str:
        """Why it cannot be had on this machine; empty where it can."""

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        """Do one round in ``folder``, which is empty and its own, and leave no process behind."""


def one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else repr(c)[1:-1] if c.strip() else " " for c in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def tracebacks(log: str) -> list[str]:
    """Of each traceback in a log the error and the last place of it."""
    found, place, inside = [], "", False
    for line in log.splitlines():
        bare = line.lstrip(" |+-")
        if bare.startswith("Traceback (most recent call last)"):
            inside, place = True, ""
        elif inside and (file := re.match(r'File "([^"]*)", line (\d+)', bare)):
            package = re.search("(?:clary|site-packages)/.*", file[1])
            place = f"{package[0] if package else Path(file[1]).name}:{file[2]}"
        elif inside and line and not line.startswith((" ", "|", "+")):
            found.append(f"{line} ({place})")
            inside = False
    return found
