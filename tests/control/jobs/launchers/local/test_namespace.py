"""The job's own /opt/ml: seen by the job alone, and the store's files behind it unharmed. Also as a plain user."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.control.jobs.launch import Launch
from clary.control.jobs.launchers.local import namespace
from clary.toolkit import mounts

pytestmark = [
    pytest.mark.skipif(not namespace.available(), reason="the kernel gives this user no mount namespace"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # the child of a fork has one thread
]

NOBODY = 65534
PR_SET_DUMPABLE = 4  # a process that changed its user may not look at its own /proc otherwise

VANDAL = """
set -e
cd /opt/ml/input/data/train
cat a.txt
echo more >> a.txt
chmod 777 sub/b.txt
: > sub/c.txt
rm -r gone
mv sub/b.txt sub/d.txt
mkdir gone new
test -z "$(ls gone)"
cat a.txt sub/d.txt
cd HERE/opt_ml/input/data/train
echo by the other way > a.txt
"""


@pytest.fixture
def job(tmp_path: Path) -> tuple[Launch, Path]:
    """A job with a channel of hard links, and the folder of the store the links lead to."""
    store = tmp_path / "store"
    folder = tmp_path / "job"
    channel = folder / "opt_ml" / "input" / "data" / "train"
    for name in ("a.txt", "sub/b.txt", "sub/c.txt", "gone/e.txt"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(f"{name}\n")
        (channel / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(store / name, channel / name)
    return Launch(job="job", folder=folder, log=folder / "log", inputs=(channel,)), store


def state(folder: Path) -> dict[str, tuple[str, int, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): (p.read_text(), p.stat().st_mode, p.stat().st_mtime_ns) for p in files}


def inside(launch: Launch, action: Callable[[], object], user: int = 0) -> int:
    """Exit code of ``action`` in the job's view."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        namespace.enter(launch)
        action()
        os._exit(0)
    finally:
        os._exit(1)


def give_away(folder: Path, user: int) -> None:
    """Let ``user`` have ``folder``, and reach it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


@pytest.fixture(params=[0, pytest.param(NOBODY, marks=pytest.mark.skipif(os.geteuid() != 0, reason="not root"))])
def user(request: pytest.FixtureRequest, tmp_path: Path, job: object) -> int:
    if request.param:
        give_away(tmp_path, request.param)
    return int(request.param)


def test_a_job_may_do_as_it_likes_and_the_store_stays(job, user):
    launch, store = job
    before = state(store)
    output = launch.folder / "opt_ml" / "seen"

    def vandalise() -> None:
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
        os.execvp("sh", ["sh", "-c", VANDAL.replace("HERE", str(launch.folder))])

    assert inside(launch, vandalise, user) == 0
    assert output.read_text() == "a.txt\na.txt\nmore\nsub/b.txt\n"
    assert state(store) == before
    assert state(launch.inputs[0]) == before


def test_nothing_is_seen_outside(job, user):
    launch, _ = job
    mounted, opt, hosts = Path("/proc/self/mountinfo").read_text(), os.listdir("/opt"), Path("/etc/hosts").read_text()
    assert inside(launch, lambda: Path("/opt/ml/made").write_text("here"), user) == 0
    assert (launch.opt_ml / "made").read_text() == "here"
    assert Path("/proc/self/mountinfo").read_text() == mounted
    assert os.listdir("/opt") == opt
    assert Path("/etc/hosts").read_text() == hosts


def test_what_else_is_in_opt_is_still_there(job, user):
    launch, _ = job
    before = {name: sorted(os.listdir(f"/opt/{name}")) for name in os.listdir("/opt") if name != "ml"}

    def compare() -> None:
        now = {name: sorted(os.listdir(f"/opt/{name}")) for name in os.listdir("/opt") if name != "ml"}
        assert now == before

    assert inside(launch, compare, user) == 0


def test_the_jobs_hosts_have_names(job, user):
    launch, _ = job

    def look() -> None:
        lines = Path("/etc/hosts").read_text().splitlines()
        assert lines[-1] == "127.0.0.1 algo-1"
        assert len(lines) > 1

    assert inside(launch, look, user) == 0


@pytest.mark.parametrize("limit", [namespace.COPY_LIMIT, 3])
def test_without_overlay_a_channel_is_copied_or_cannot_be_written(job, monkeypatch, limit):
    launch, store = job
    before = state(store)

    def refuse(lower: Path, upper: Path, work: Path) -> None:
        raise OSError("no overlay here")

    def change() -> None:
        (namespace.OPT_ML / "input/data/train/a.txt").write_text("changed")

    monkeypatch.setattr(mounts, "overlay", refuse)
    monkeypatch.setattr(namespace, "COPY_LIMIT", limit)
    assert inside(launch, change) == (0 if limit > 3 else 1)
    assert state(store) == before


def test_names_with_signs_of_the_mount_options(job, tmp_path):
    launch, _ = job
    odd = tmp_path / "odd, name: of \\ a=job"
    shutil.move(launch.folder, odd)
    entered = Launch(job="job", folder=odd, log=odd / "log", inputs=(odd / "opt_ml/input/data/train",))

    def change() -> None:
        (namespace.OPT_ML / "input/data/train/a.txt").write_text("changed")

    assert inside(entered, change) == 0
    assert (entered.inputs[0] / "a.txt").read_text() == "a.txt\n"


def test_a_view_that_cannot_be_made_fails_the_job_by_name(monitors):
    launch = monitors.prepare("true")
    (launch.folder / "opt_ml").rmdir()
    monitors.start(launch)
    assert "the view of /opt/ml cannot be made" in monitors.end(launch).error
