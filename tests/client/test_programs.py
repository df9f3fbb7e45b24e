"""`clary run`: the environment, the exit code, the signals; on a home that some process holds."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clary.client import programs
from clary.errors import UsageError

# Says when it listens, then which signal came, and ends as that signal asks.
LISTENER = """
import signal, sys, time
def heard(number, frame):
    print("heard", signal.Signals(number).name, flush=True)
    sys.exit(40 + number)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, heard)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def url() -> Iterator[str]:
    """Where something answers that it is up."""

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def start(hold, url: str, tmp_path: Path) -> Iterator[Start]:
    """``clary run`` of a command in its own session; the home is held by a gateway that answers at ``url``."""
    hold(url)
    started: list[subprocess.Popen[str]] = []

    def run(*command: str, **options: Any) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "clary", "run", "--home", str(tmp_path), *command]
        process: subprocess.Popen[str] = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_program_gets_the_environment_and_all_its_words(start, url):
    show = "import os, sys; print(os.environ['AWS_ENDPOINT_URL'], os.environ.get('AWS_PROFILE'), sys.argv[1:])"
    words = ["--home", "x", "-h", "--", "a b", ""]
    process = start(sys.executable, "-c", show, *words, env=os.environ | {"AWS_PROFILE": "work"})
    out, err = process.communicate(timeout=30)
    assert (out, err) == (f"{url} None {words}\n", "")


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_programs(start, code):
    assert start("sh", "-c", f"exit {code}").wait(30) == code


def test_a_program_killed_by_a_signal_gives_what_a_shell_gives(start):
    assert start("sh", "-c", "kill -9 $$").wait(30) == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_are_handed_on(start, number):
    process = start(sys.executable, "-c", LISTENER, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == (f"heard {number.name}\n", "", 40 + number)


# Takes the terminal at its standard input as its own, then runs the words given.
AT_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
COUNTER = """
import signal, time
heard = []
signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
print("ready", flush=True)
end = time.monotonic() + 1
while time.monotonic() < end:
    time.sleep(0.05)
print(len(heard), "heard", flush=True)
"""


def test_a_key_pressed_at_a_terminal_reaches_the_program_once(hold, url, tmp_path):
    """The terminal signals the whole foreground; handing it on would make it two."""
    hold(url)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "clary", "run", "--home", str(tmp_path), sys.executable, "-c", COUNTER]
    command = [sys.executable, "-c", AT_TERMINAL, *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)  # a program that ends too early ends the reading, by EIO
        told = b""
        while b"ready" not in told:
            told += os.read(ours, 1000)
        os.write(ours, b"\x03")
        while b" heard" not in told:
            told += os.read(ours, 1000)
        assert b"1 heard" in told
        assert process.wait(30) == 0
    os.close(ours)


def test_a_program_that_is_not_there(hold, url, tmp_path):
    hold(url)
    with pytest.raises(UsageError, match="no-such-program-here: there is no such program"):
        programs.run(["no-such-program-here"], tmp_path)
    (tmp_path / "text").write_text("")
    with pytest.raises(UsageError, match="cannot be run"):
        programs.run([str(tmp_path / "text")], tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_command_that_follows_a_job_names_the_home(start, tmp_path):
    process = start("sh", "-c", "echo $CLARY_FOLLOW")
    assert process.communicate(timeout=30)[0] == f"clary logs {{}} -f --home {tmp_path}\n"
