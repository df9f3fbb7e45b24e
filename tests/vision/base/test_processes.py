from __future__ import annotations

import os
import signal
import subprocess

import pytest

from clary.vision.base import processes


@pytest.fixture
def sleeper():
    found = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield found
    found.kill()
    found.wait()


def test_what_is_known_of_a_process(sleeper):
    own, other = processes.find(os.getpid()), processes.find(sleeper.pid)
    assert own is not None
    assert other is not None
    assert (own.id, own.parent) == (os.getpid(), os.getppid())
    assert (other.parent, other.session) == (os.getpid(), sleeper.pid)
    assert other.started >= own.started > 0
    sleeper.kill()
    sleeper.wait()
    assert processes.find(sleeper.pid) is None


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_signal_goes_out_only_when_it_is_sure(sleeper, monkeypatch, pidfd):
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert not processes.send(sleeper.pid, signal.SIGTERM, lambda: False)
    assert sleeper.poll() is None
    assert processes.send(sleeper.pid, signal.SIGTERM, lambda: True)
    assert sleeper.wait(10) == -signal.SIGTERM
    processes.send(sleeper.pid, signal.SIGTERM, lambda: True)  # no error: it is gone
