"""Monitors over real programs: output, exit codes, signals, time, stragglers, and being killed."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from clary.control.jobs import capacity
from clary.control.jobs.launch import MAX_RUNTIME_EXCEEDED, STOPPED, Command, Exit
from clary.control.jobs.launchers.local import job_monitor, lock, namespace, orphans
from clary.vision.base import files, processes

LINGER = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"  # ends when asked to
DEAF = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def processes_with(text: str) -> list[int]:
    """Live processes whose command line or first environment holds ``text``."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                said = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if text.encode() in said:
                found.append(int(name))
    return found


def test_output_and_errors_go_to_the_log_line_by_line(monitors):
    note, lines = monitors.run("sh", "-c", "echo one; echo two >&2; printf 'three\\r\\n'; printf 'no end'")
    assert lines == ["one", "two", "three", "no end"]
    assert (note.code, note.signal, note.reason, note.error) == (0, None, "", "")
    assert 0 < note.started <= note.ended <= time.time()
    assert note.peak_memory > 0


def test_the_log_is_written_while_the_program_runs(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", LINGER)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch) == ["up"])
    assert Exit.read(launch.folder, 1) is None
    os.kill(lock.holder(launch.folder), signal.SIGTERM)
    assert monitors.end(launch).code == 0


@pytest.mark.parametrize(("command", "code", "number"), [("exit 3", 3, None), ("kill -9 $$", None, 9)])
def test_how_a_program_ended(monitors, command, code, number):
    note, _ = monitors.run("sh", "-c", command)
    assert (note.code, note.signal, note.reason, note.out_of_memory) == (code, number, "", False)


def test_a_program_that_is_not_there_is_named(monitors):
    note, lines = monitors.run("no-such-program")
    assert note.code is None
    assert "`no-such-program` cannot be started: No such file" in note.error
    assert lines == [note.error]


def test_the_environment_is_the_launchs_alone(monitors, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_GATEWAY", "1")
    _, lines = monitors.run(sys.executable, "-c", "import os; print(sorted(os.environ))", environment={"A": "1"})
    assert "'A'" in lines[0]
    assert "SECRET" not in lines[0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_users_program_sees_all_of_the_requests_environment_and_nothing_before_it_any(monitors, monkeypatch):
    given = {"LD_LIBRARY_PATH": "/a", "PYTHONPATH": "/b", "CLARY_PRECISION_CACHE": "/c", "TZ": ":/d", "PATH": "/bin"}
    given |= {"SAGEMAKER_BASE_DIR": "/e", "CLARY_JOB_FOLDER": "/f"}
    # The last of ours in the process that becomes the program; its standard output is the log by then.
    monkeypatch.setattr(time, "tzset", lambda: os.write(1, f"{sorted(os.environ)}\n".encode()))
    own = {"PATH": os.environ["PATH"], "TZ": "UTC"}
    script = f"import os; print({{n: os.environ[n] for n in {sorted(given)}}})"
    launch = monitors.prepare(sys.executable, "-c", script, environment=own, given=given)
    read_end, write_end = os.pipe()
    job_monitor.start(launch.folder, write_end)
    os.close(write_end)
    os.close(read_end)
    assert monitors.end(launch).code == 0
    before, program = monitors.lines(launch)
    assert before == str(["PATH", "TZ"])
    # But for the mark by which what a job leaves running is found.
    place = {} if launch.namespace else {"SAGEMAKER_BASE_DIR": str(launch.opt_ml)}
    assert program == str(dict(sorted((given | place | {"CLARY_JOB_FOLDER": str(launch.folder)}).items())))


def test_the_program_inherits_no_open_file(monitors):
    _, lines = monitors.run(sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))")
    assert lines == ["['0', '1', '2', '3']"]  # 3 is listdir's own


def test_the_program_has_default_signals(monitors):
    _, lines = monitors.run("grep", "SigIgn", "/proc/self/status")
    # Signals 32 and 33 are the C library's own: it hands them on ignored (from make, say), and nobody can set them.
    assert int(lines[0].split()[1], 16) & ~(0b11 << 31) == 0


def test_a_stop_is_passed_on_and_noted(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", LINGER)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch))
    os.kill(lock.holder(launch.folder), signal.SIGTERM)
    note = monitors.end(launch)
    assert (note.code, note.reason) == (0, STOPPED)


def test_who_does_not_hear_is_killed_after_the_grace(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", DEAF, grace=0.3)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch))
    os.kill(lock.holder(launch.folder), signal.SIGTERM)
    note = monitors.end(launch)
    assert (note.signal, note.reason, note.out_of_memory) == (9, STOPPED, False)


def test_a_program_out_of_time_is_ended(monitors):
    note, _ = monitors.run("sh", "-c", LINGER, max_run=0.2)
    assert (note.code, note.reason) == (0, MAX_RUNTIME_EXCEEDED)


def test_stragglers_die_with_the_program_in_whatever_session(monitors):
    note, lines = monitors.run("sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 0.2; echo over", name="straggle")
    assert (note.code, lines) == (0, ["over"])
    assert processes_with("straggle-0") == []


def test_the_program_dies_with_a_monitor_that_is_killed(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", LINGER, name="orphan")
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch))
    os.kill(lock.holder(launch.folder), signal.SIGKILL)
    wait_for(lambda: not lock.is_held(launch.folder))
    wait_for(lambda: not [p for p in processes_with("CLARY_JOB_FOLDER=" + str(launch.folder)) if comm(p) == "sh"])
    assert Exit.read(launch.folder, 1) is None


def comm(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def test_the_next_monitor_kills_what_a_killed_one_left(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", "setsid sleep 1000 & sleep 1000 & echo up; wait", name="left")
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch))
    wait_for(lambda: len([p for p in processes_with("left-0") if comm(p) == "sleep"]) == 2)
    os.kill(lock.holder(launch.folder), signal.SIGKILL)
    wait_for(lambda: not lock.is_held(launch.folder))
    assert processes_with("left-0")
    again = replace(launch, attempt=2, program=Command(("true",)))
    again.write()
    monitors.start(again)
    assert monitors.end(again).code == 0
    assert processes_with("left-0") == []


def test_a_second_monitor_leaves_a_running_job_alone(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", f"echo run >> ran; {LINGER}", cwd="/opt/ml")
    first = monitors.start(launch)
    wait_for(lambda: monitors.lines(launch))
    assert monitors.start(launch) == "\n"
    assert lock.holder(launch.folder) == int(first)
    os.kill(int(first), signal.SIGTERM)
    monitors.end(launch)
    assert monitors.start(launch) == "\n", "the attempt is over"
    assert (launch.opt_ml / "ran").read_text() == "run\n"


def test_many_lines_and_one_without_end(monitors):
    script = "for i in range(20000): print(i)\nprint('x' * 500000, end='')"
    note, lines = monitors.run(sys.executable, "-c", script)
    assert note.code == 0
    assert lines[:20000] == [str(i) for i in range(20000)]
    assert sum(len(line) for line in lines[20000:]) == 500_000


def test_a_program_that_closes_its_output_runs_on(monitors):
    note, _ = monitors.run("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4")
    assert note.code == 4


def test_bytes_that_are_no_text_do_not_hurt(monitors):
    note, lines = monitors.run("printf", "a\\377b\\0c\\n")
    assert note.code == 0
    assert lines == ["a�b\0c"]


def test_without_a_namespace_the_tree_is_where_the_variable_says(monitors):
    launch = monitors.prepare("sh", "-c", "pwd; echo $SAGEMAKER_BASE_DIR", namespace=False, cwd="/opt/ml")
    monitors.start(launch)
    monitors.end(launch)
    assert monitors.lines(launch) == [str(launch.opt_ml)] * 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("command", "kills", "expected"),
    [("kill -9 $$", 1, True), ("exit 137", 1, True), ("kill -9 $$", 0, False), ("exit 1", 1, False)],
)
def test_a_program_killed_for_want_of_memory(monitors, monkeypatch, command, kills, expected):
    """The kernel's counter is made up: a machine that really runs out of memory would take this test with it."""
    counts = iter([5, 5 + kills])
    monkeypatch.setattr(capacity, "oom_kills", lambda: next(counts))
    launch = monitors.prepare("sh", "-c", command)
    read_end, write_end = os.pipe()
    job_monitor.start(launch.folder, write_end)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        assert int(answer.read()) == lock.holder(launch.folder)
    assert monitors.end(launch).out_of_memory is expected


@pytest.mark.parametrize("name", ["model", "output", "output/data", "checkpoints", "input/data"])
def test_a_tree_that_an_attempt_before_bent_is_refused_before_the_program(monitors, tmp_path, name):
    launch = monitors.prepare("sh", "-c", "echo ran")
    (tmp_path / "home").mkdir()
    (launch.opt_ml / name).parent.mkdir(exist_ok=True)
    (launch.opt_ml / name).symlink_to(tmp_path / "home")
    monitors.start(launch)
    note = monitors.end(launch)
    assert note.error.startswith(f"AlgorithmError: /opt/ml/{name}: is a symbolic link")
    assert monitors.lines(launch) == [note.error]
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.skipif(not namespace.available(), reason="the kernel gives this user no mount namespace")
def test_a_view_that_cannot_be_written_is_the_reason(monitors):
    """Found by `make storm` on a full disk: the job failed with an empty reason, as if its program had."""
    launch = replace(monitors.prepare("sh", "-c", "echo ran"), namespace=True, hosts=("algo-1",))
    launch.write()
    (launch.folder / "hosts" / "in the way").mkdir(parents=True)
    monitors.start(launch)
    note = monitors.end(launch)
    assert note.error.startswith(f"the view of /opt/ml cannot be made: {launch.folder}/hosts: cannot be written")
    assert monitors.lines(launch) == [note.error]


def test_an_orphan_that_threw_its_environment_away_is_found_by_its_session_and_score(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", "env -i sleep 300 & echo $!; wait")
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch))
    orphan = int(monitors.lines(launch)[0])
    monitor = lock.monitor(launch.folder)
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not lock.is_held(launch.folder) and processes.find(monitor) is None)
    assert processes.find(orphan) is not None
    assert orphans.kill_orphans(launch.folder, lock.holder(launch.folder), lock.last_started(launch.folder)) >= 1
    wait_for(lambda: (found := processes.find(orphan)) is None or found.state in "ZX")


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("memory", "expected"), [(1 << 20, True), (1 << 40, False), (0, False)])
def test_who_had_most_of_the_memory_was_killed_for_it(monitors, monkeypatch, memory, expected):
    """Where the kernel does not count: in many containers."""
    monkeypatch.setattr(capacity, "oom_kills", lambda: 0)
    monkeypatch.setattr(job_monitor, "machine_memory", lambda: memory)
    launch = monitors.prepare("sh", "-c", "kill -9 $$")
    read_end, write_end = os.pipe()
    job_monitor.start(launch.folder, write_end)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        answer.read()
    assert monitors.end(launch).out_of_memory is expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_end_of_a_job_is_written_on_a_full_disk(monitors, monkeypatch):
    """Nobody can read the end of it else, and it would run again."""
    launch = monitors.prepare("sh", "-c", "exit 3")
    write_text = files.write_text

    def full(path, text, mode):
        if path.name == "exit.json":
            raise files._cannot_write(path, OSError(errno.ENOSPC, "full")) from OSError(errno.ENOSPC, "full")
        write_text(path, text, mode)

    monkeypatch.setattr(files, "write_text", full)
    read_end, write_end = os.pipe()
    job_monitor.start(launch.folder, write_end)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        answer.read()
    assert monitors.end(launch).code == 3
    assert not (launch.folder / "exit.reserve").exists()
