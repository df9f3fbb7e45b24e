"""The program `clary` itself: what it says of words that it does not know."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from clary.__main__ import ABANDONED
from clary.version import __version__
from clary.vision.algorithms import catalog

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "no such command 'trian'; did you mean 'train'?"),
        (["data", "chek"], "no such command 'chek'; did you mean 'check'?"),
        (["xyzzy"], "no such command 'xyzzy'; `clary --help` says what there is"),
        (["--foo"], "no such option: --foo; `clary --help` says what there is"),
        (["up", "--prot", "3"], "no such option: --prot; did you mean --host, --port?"),
        (["serve"], "missing argument 'MODEL'; `clary serve --help` says what there is"),
        (["quickstart", "--epochs", "0"], "invalid value for '--epochs': "),
    ],
    ids=["verb", "below a verb", "nothing near", "option", "option of a verb", "argument", "value"],
)
def test_mistake_is_one_line_with_what_was_meant(words: list[str], line: str, cli: Cli) -> None:
    code, out, err = cli(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"clary: {line}")


def test_without_words_there_is_the_help_and_where_to_begin(cli: Cli) -> None:
    code, out, err = cli()
    assert (code, err) == (2, "")
    assert "Begin with `clary quickstart`" in out
    assert "\n  train " in out
    code, out, err = cli("data")
    assert (code, err) == (2, "")
    assert "\n  check " in out


def test_help_and_version_are_no_mistakes(cli: Cli) -> None:
    for words in (["--help"], ["--version"], ["train", "--help"]):
        code, out, err = cli(*words)
        assert (code, err) == (0, "")
        assert out


@pytest.mark.parametrize(
    ("program", "code", "out"),
    [
        ("sys.argv[1:] = ['--version']", 0, f"{__version__}\nlast\n"),
        ("sys.argv[1:] = ['xyzzy']", 2, "last\n"),
        # What is written and not yet flushed: output goes to a pipe.
        ("sys.argv[1:] = ['--version']; sys.stdout.write('first '); atexit.register(print, 'x' * 9000)", 0, None),
    ],
    ids=["done", "mistake", "buffered"],
)
def test_program_ends_with_all_its_output_and_what_was_to_be_done_at_its_end(
    program: str, code: int, out: str | None
) -> None:
    begin = "import atexit, sys, threading; from clary.__main__ import main; atexit.register(print, 'last')\n"
    # One that nobody waits for, as of a library that is still being loaded.
    begin += "threading.Thread(target=threading.Event().wait, args=(600,), name='libraries').start()\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}{program}\nmain()"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == (out or f"first {__version__}\n{'x' * 9000}\nlast\n")
    assert "Traceback" not in done.stderr


def test_program_waits_for_threads_that_others_started() -> None:
    program = """
import concurrent.futures, sys, threading, time
from clary.__main__ import main
def late(word):
    time.sleep(0.3)
    print(word)
threading.Thread(target=late, args=("thread",)).start()
concurrent.futures.ThreadPoolExecutor(1).submit(late, "pool").add_done_callback(lambda _: None)
sys.argv[1:] = ["--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted([__version__, "pool", "thread"])


def test_the_thread_that_nobody_waits_for_has_this_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "train_function", lambda spec: None)
    thread = catalog.load_ahead(catalog.find("image-classification"))
    thread.join()
    assert thread.name == ABANDONED


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's own closing of files")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
@pytest.mark.parametrize(("word", "code"), [("--version", 0), ("xyzzy", 2)])
def test_streams_that_are_closed_change_no_exit_code(closed: str, word: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m clary {word} {closed}', sys.executable], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_output_that_cannot_be_written_is_one_line_and_no_success() -> None:
    program = "import sys; from clary.__main__ import main; sys.argv[1:] = ['--version']\n"
    program += "import clary.cli.main as cli; cli._run = lambda: print('half') or 0\nmain()"
    command, buffered = [sys.executable, "-c", program], {**os.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert (done.returncode, done.stderr) == (120, "clary: the output cannot be written (No space left on device)\n")
