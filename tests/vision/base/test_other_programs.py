"""What others take of the cores, of a made-up ``/proc`` and of the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.vision.base import other_programs
from clary.vision.base.other_programs import OtherPrograms, Sharing

OURS, CHILD, GRANDCHILD, BUSY, SECOND, IDLE, NEW = 100, 101, 102, 200, 201, 300, 400
PARENTS = {OURS: 1, CHILD: OURS, GRANDCHILD: CHILD, BUSY: 1, SECOND: 1, IDLE: 1, NEW: 1}
SECONDS = 2.0
CORES = 4


def write(proc: Path, busy: float, seconds: dict[int, float]) -> None:
    """The state of a machine where all cores together were busy for ``busy`` seconds since it started."""
    hertz = os.sysconf("SC_CLK_TCK")
    ticks = round(busy * hertz)
    (proc / "stat").write_text(f"cpu  {ticks - 30} 10 10 99999 99 3 4 3 0 0\ncpu0 1 2 3 4\n")
    for process, spent in seconds.items():
        (proc / str(process)).mkdir(exist_ok=True)
        # A name may hold blanks and brackets; user and system time are the fields 14 and 15.
        user = round(spent * hertz) - 1
        fields = f"R {PARENTS[process]} " + "0 " * 9 + f"{user} 1 50 50 20 0 1 0 0"
        (proc / str(process) / "stat").write_text(f"{process} (a ) b (R) 1) {fields}\n")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sharing | None]:
    """``measured(busy, {process: seconds})``: what others took in two seconds, of which ``busy`` are of all cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(CORES)))

    def measure(busy: float, took: dict[int, float], seconds: float = SECONDS) -> Sharing | None:
        clock = iter((1000.0, 1000.0 + seconds))
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        (tmp_path / str(NEW) / "stat").unlink(missing_ok=True)
        write(tmp_path, 50.0, {process: 7.0 for process in PARENTS if process != NEW})
        meter = OtherPrograms(tmp_path, OURS)
        write(tmp_path, 50.0 + busy, {p: took.get(p, 0.0) + 7.0 * (p != NEW) for p in PARENTS})
        return meter.sharing()

    return measure


def test_busy_programs_are_counted(measured: Callable[..., Sharing | None]) -> None:
    found = measured(4.1, {BUSY: 2.0, SECOND: 1.0, IDLE: 0.1, OURS: 1.0})
    assert found == Sharing(programs=2, taken=1.5, cores=4)
    assert (
        str(found) == "2 other programs are busy on this machine (1.5 of 4 cores): training takes up to twice as long"
    )


def test_ours_and_what_we_started_is_no_other(measured: Callable[..., Sharing | None]) -> None:
    assert measured(6.0, {OURS: 2.0, CHILD: 2.0, GRANDCHILD: 2.0}) is None


def test_one_that_began_meanwhile_and_one_that_nobody_sees_count(measured: Callable[..., Sharing | None]) -> None:
    assert measured(2.0, {NEW: 2.0}) == Sharing(1, 1.0, 4)
    assert measured(2.0, {}) == Sharing(1, 1.0, 4)


def test_what_costs_little_is_not_said(measured: Callable[..., Sharing | None]) -> None:
    assert measured(0.7, {BUSY: 0.3, SECOND: 0.3, IDLE: 0.1}) is None
    assert measured(8.0, {BUSY: 8.0}, seconds=0.01) is None


def test_where_all_cores_are_taken_each_program_wants_one(measured: Callable[..., Sharing | None]) -> None:
    found = measured(8.0, {BUSY: 1.5, SECOND: 1.5, IDLE: 1.5, NEW: 1.5, OURS: 2.0})
    assert found is not None
    assert (found.programs, found.full, found.times) == (4, True, 2)


@pytest.mark.parametrize(
    ("sharing", "times"),
    [
        (Sharing(1, 0.5, 1), "twice"),
        (Sharing(1, 1.0, 2), "twice"),
        (Sharing(2, 1.2, 2, full=True), "twice"),
        (Sharing(5, 1.3, 2, full=True), "3 times"),
        (Sharing(9, 60.0, 64), "twice"),
    ],
)
def test_what_it_costs(sharing: Sharing, times: str) -> None:
    assert str(sharing).endswith(f": training takes up to {times} as long")


def test_singular() -> None:
    text = "1 other program is busy on this machine (0.6 of 1 core): training takes up to twice as long"
    assert str(Sharing(1, 0.6, 1)) == text


def test_a_machine_without_proc_says_nothing(tmp_path: Path) -> None:
    assert OtherPrograms(tmp_path / "none").sharing() is None


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc")
def test_a_real_program_is_seen_and_a_child_of_ours_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever else runs beside the tests.
    monkeypatch.setattr(other_programs, "BUSY", 0.05)
    # What else runs may begin or end to be busy between two looks, so that they are compared more than once.
    for _ in range(5):
        seen, ours_too = looked_twice_beside_a_child()
        assert ours_too is not None
        # This process and its child are two programs to somebody else.
        if right := ours_too.programs >= (seen.programs if seen else 0) + 2:
            break
    assert right


def looked_twice_beside_a_child() -> tuple[Sharing | None, Sharing | None]:
    """What we see, and what another process would, with a busy child of ours."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            ours, another = OtherPrograms(), OtherPrograms(process=2**22 + 1)
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:
                pass
            return ours.sharing(), another.sharing()
        finally:
            child.kill()
