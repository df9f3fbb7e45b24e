"""What programs print."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from clary.toolkit.output import KEPT, Output


def run(tmp_path, script: str, said: list[str]) -> tuple[int, Output]:
    output = Output(said.append)
    return output.run(["/bin/sh", "-c", script], env={"PATH": os.environ["PATH"]}, cwd=tmp_path), output


def test_lines_as_they_come_and_the_last_without_an_end(tmp_path):
    said: list[str] = []
    code, output = run(tmp_path, "echo one; echo two >&2; printf three; exit 5", said)
    assert (code, said, output.lines()) == (5, ["one", "two", "three"], ["one", "two", "three"])


def test_a_signal_is_a_negative_code(tmp_path):
    assert run(tmp_path, "kill -9 $$", [])[0] == -9


def test_only_the_end_is_kept(tmp_path):
    said: list[str] = []
    _, output = run(tmp_path, "yes 0123456789abcde | head -n 20000; echo end", said)
    assert len(said) == 20001
    assert len(output.text()) == KEPT
    assert output.lines()[-1] == "end"


def test_what_is_left_running_does_not_hold_it(tmp_path):
    said: list[str] = []
    begun = time.monotonic()
    # It holds the pipe; another would write into it for ever.
    code, _ = run(tmp_path, "(sleep 60; echo late) & echo $!; exit 0", said)
    os.kill(int(said[0]), 9)
    assert code == 0
    assert time.monotonic() - begun < 30


def test_a_stop_while_it_runs_leaves_no_fault_behind(tmp_path, monkeypatch):
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)

    def stop(line):
        raise SystemExit(143)

    others = set(threading.enumerate())
    program = "import time; print('x', flush=True); time.sleep(0.3)"
    with pytest.raises(SystemExit):
        Output(stop).run([sys.executable, "-c", program], env={}, cwd=tmp_path)
    for thread in set(threading.enumerate()) - others:
        thread.join()
    assert not faults
