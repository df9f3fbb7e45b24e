"""Finding and stopping a gateway, and what is said when it is not as it should be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from clary.client import gateway
from clary.client.connection import Connection, connect
from clary.client.gateway import NotRunningError
from clary.control.home import Server
from clary.errors import ClaryError, UsageError


def test_the_gateway_of_a_home_is_found(hold, tmp_path):
    process = hold()
    server = gateway.running(tmp_path)
    assert (server.pid, server.url, server.region) == (process.pid, "http://127.0.0.1:9", "eu-west-1")


def test_none_runs(tmp_path):
    for call in (gateway.running, gateway.stop, connect):
        with pytest.raises(NotRunningError, match="no platform runs on this home; start it with `clary up`"):
            call(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_what_a_killed_one_left_is_not_believed(hold, tmp_path):
    process = hold()
    process.kill()
    process.wait()
    assert (tmp_path / "server.json").exists()
    with pytest.raises(NotRunningError, match="no platform runs"):
        gateway.running(tmp_path)
    with pytest.raises(NotRunningError, match="no platform runs"):
        gateway.stop(tmp_path)


def test_a_starting_one_is_not_the_one_that_was_killed_before(hold, tmp_path):
    process = hold()
    process.kill()
    process.wait()
    hold(how="starting")
    with pytest.raises(NotRunningError, match="is starting"):
        gateway.running(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0", b"{}", b"[]", b'{"pid": 1}', b'{"url": 5, "pid": "x"}', b"\xff"])
def test_a_damaged_server_file_is_no_server(hold, tmp_path, content):
    hold()
    (tmp_path / "server.json").write_bytes(content)
    with pytest.raises(NotRunningError):
        gateway.running(tmp_path)


def test_it_is_stopped_and_waited_for(hold, tmp_path):
    process = hold()
    assert gateway.stop(tmp_path, timeout=20) == process.pid
    assert process.wait(10) == 0
    assert not (tmp_path / "server.json").exists()


def test_one_that_does_not_stop_is_named(hold, tmp_path):
    process = hold(how="deaf")
    with pytest.raises(ClaryError, match=rf"process {process.pid}: .* `kill -9 {process.pid}` ends it"):
        gateway.stop(tmp_path, timeout=0.2)


def test_health(listening, tmp_path):
    server = Server(listening.url, os.getpid(), "0.1.0", str(tmp_path), "us-east-1", 0.0)
    assert gateway.health(server) == {}  # alive, but its words are not JSON
    with pytest.raises(NotRunningError, match=r"127\.0\.0\.1:9: the platform does not answer .* `clary up`"):
        gateway.health(Server("http://127.0.0.1:9", 1, "", "", "", 0.0))


def test_a_gateway_that_cannot_start_says_why_in_its_own_words(hold, tmp_path):
    hold()
    with pytest.raises(UsageError, match=r"another gateway \(process \d+\) uses this home"):
        gateway.start(tmp_path, ["--port", "0"], timeout=60)
    assert "another gateway" in gateway.log_file(tmp_path).read_text()


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(UsageError, match="choose another --home"):
        gateway.start(tmp_path / "home")


def test_a_gateway_that_has_no_room_for_its_words(tmp_path, monkeypatch):
    """Found by `make storm`: "ended at once (exit code 1)" was all that was said."""
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr(gateway, "disk_is_full", lambda folder: True)
    with pytest.raises(UsageError, match="ended at once: the disk is full; free some space"):
        gateway.start(tmp_path)


def test_calls_are_signed_for_their_service_and_refusals_are_one_line(listening, tmp_path):
    server = Server(listening.url, 1, "0.1.0", str(tmp_path), "eu-west-1", 0.0)
    with Connection(server) as connection:
        assert connection.call("logs", "DescribeLogStreams") == {}
    scope = listening.calls[0][1]
    assert scope.startswith("clary/")
    assert scope.endswith("/eu-west-1/logs/aws4_request")
    with (
        Connection(Server("http://127.0.0.1:9", 1, "", str(tmp_path), "us-east-1", 0.0)) as connection,
        pytest.raises(NotRunningError, match="does not answer"),
    ):
        connection.call("sagemaker", "ListTrainingJobs")


def test_signals_while_starting_leave_no_process(tmp_path):
    """Ctrl-C on `clary up --detach` must not leave half a platform behind."""
    program = """
import os, pathlib, signal, sys, threading
from clary.client import gateway
folder = pathlib.Path(sys.argv[1])
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    gateway.start(folder, ["--port", "0", "--no-warm"])
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr
    with pytest.raises(NotRunningError, match="no platform runs"):
        gateway.running(tmp_path)


def test_of_two_that_begin_at_once_both_have_the_home(hold, tmp_path, monkeypatch):
    """The one that comes second finds the home free, and taken when its own gateway begins."""

    def start(folder, options):
        hold()
        raise UsageError("another gateway (process 1) uses this home", where=folder)

    monkeypatch.setattr(gateway, "start", start)
    monkeypatch.setattr(gateway, "health", lambda server: {})
    server, started = gateway.running_or_started(tmp_path)
    assert (server, started) == (gateway.running(tmp_path), False)


def test_one_that_is_starting_is_waited_for(hold, tmp_path, monkeypatch):
    assert gateway.present(tmp_path) is None
    hold(how="starting")
    with pytest.raises(NotRunningError, match="another gateway is starting or stopping; try again in a moment"):
        gateway.present(tmp_path, timeout=0.0)


@pytest.fixture
def lent(hold, tmp_path, monkeypatch):
    """``start`` starts what holds the home; what was started and stopped."""
    told: list[str] = []

    def start(folder, options):
        hold()
        told.append("started")
        return gateway.running(folder)

    def stop(folder):
        told.append("stopped")
        return really_stop(folder)

    really_stop = gateway.stop
    monkeypatch.setattr(gateway, "start", start)
    monkeypatch.setattr(gateway, "health", lambda server: {})
    monkeypatch.setattr(gateway, "stop", stop)
    return told


def test_the_last_who_gives_a_borrowed_one_back_stops_it(lent, tmp_path):
    """The first `clary run` took the platform with it that the second was using."""
    first, second = gateway.borrowed(tmp_path), gateway.borrowed(tmp_path)
    assert first.__enter__() == second.__enter__()
    first.__exit__(None, None, None)
    assert lent == ["started"]
    second.__exit__(None, None, None)
    assert lent == ["started", "stopped"]
    with gateway.borrowed(tmp_path):
        assert lent == ["started", "stopped", "started"]


def test_one_that_was_there_before_stays(hold, lent, tmp_path):
    with gateway.borrowed(tmp_path):
        pass
    hold()
    with gateway.borrowed(tmp_path):
        pass
    assert lent == ["started", "stopped"]


def test_one_that_somebody_stopped_meanwhile_is_told(hold, lent, tmp_path):
    with pytest.raises(NotRunningError, match="no platform runs"), gateway.borrowed(tmp_path) as server:
        gateway.stop(tmp_path)
    with gateway.borrowed(tmp_path):
        gateway.stop(tmp_path)
        hold()
    assert gateway.running(tmp_path).pid != server.pid


def test_the_log_of_one_that_was_there_before_stays(hold, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    gateway.log_file(tmp_path).write_text("clary: what it was\n")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", shutil.which("false"))
        with pytest.raises(UsageError, match="ended at once"):
            gateway.start(tmp_path)
    hold()
    with pytest.raises(UsageError, match="another gateway"):
        gateway.start(tmp_path, ["--port", "0"])
    first, *rest = gateway.log_file(tmp_path).read_text().splitlines()
    assert (first, len(rest)) == ("clary: what it was", 1)


def test_what_keeps_one_from_starting_is_said(tmp_path, monkeypatch):
    def start(folder, options):
        raise UsageError("the port is taken")

    monkeypatch.setattr(gateway, "start", start)
    with pytest.raises(UsageError, match="the port is taken"):
        gateway.running_or_started(tmp_path)
