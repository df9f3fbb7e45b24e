"""What is removed of a home, and above all what is not."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clary.control import cleaning
from clary.control.cleaning import Item, clean
from clary.control.jobs.folders import job_folder, mark
from clary.control.jobs.kinds import KINDS
from clary.control.jobs.kinds.training import status
from clary.control.logs.streams import LogStore
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.vision.base.files import write_json

GROUP = "/aws/sagemaker/TrainingJobs"
ENDPOINT = "/aws/sagemaker/Endpoints/pets"


class Home:
    """A home with jobs, logs and environments in it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder)
        self.store = Store(self.settings.database)
        self.logs = LogStore(self.settings.logs_root)

    def job(self, name: str, secondary: str = "Completed", **files: str) -> Path:
        """A job and its folder with ``files`` (``__`` for a slash)."""
        arn = self.settings.arn(f"training-job/{name}")
        body = status.advance({"TrainingJobName": name, "CreationTime": 5.0}, secondary, now=6.0)
        self.store.create("training-job", name, arn=arn, body=body, status=body["TrainingJobStatus"])
        folder = job_folder(self.settings, "training-job", name)
        for path, text in {"created": f"{mark(arn, 5.0)}\n", "exit.json": "{}", **files}.items():
            place = folder / path.replace("__", "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return folder

    def log(self, group: str, stream: str) -> Path:
        writer = self.logs.writer(group, stream)
        writer.write("a line")
        writer.close()
        path = self.logs.path(group, stream)
        os.utime(path, (1, 1))
        return path

    def environment(self, key: str) -> Path:
        root = self.settings.environments_root
        (root / f"{key}.build-x").mkdir(parents=True)
        (root / key).symlink_to(f"{key}.build-x")
        note = {"name": key, "requirements": ["six"], "python": "3.11", "size": 7, "made": 1.0}
        write_json(root / key / "environment.json", note)
        (root / key / "used").touch()
        os.utime(root / key / "used", (1, 1))
        return root / key

    def clean(self, *, before: float | None = None, dry_run: bool = False) -> dict[str, str]:
        """Why each is kept, by its name."""
        return {item.path.name: item.kept for item in self.items(before=before, dry_run=dry_run)}

    def items(self, *, before: float | None = None, dry_run: bool = False) -> list[Item]:
        kinds = {kind.name: kind for kind in KINDS}
        until = time.time() + 1 if before is None else before
        return list(clean(self.settings, self.store, kinds, before=until, dry_run=dry_run))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    made.store.close()


def test_folders_of_jobs_whose_results_are_stored_go(home: Home) -> None:
    done, failed = home.job("done", opt_ml__config="{}"), home.job("failed", "Failed")
    assert home.clean(dry_run=True) == {"done": "", "failed": ""}
    assert done.is_dir()
    whole = sum(path.stat().st_size for path in done.rglob("*") if path.is_file())
    assert {item.path: item.size for item in home.items(dry_run=True)}[done] == whole
    assert home.clean() == {"done": "", "failed": ""}
    assert not done.exists()
    assert not failed.exists()
    assert home.store.get("training-job", "done") is not None  # it is described as before
    assert home.clean() == {}


@pytest.mark.parametrize(
    ("name", "secondary", "files", "why"),
    [
        ("runs", "Training", {}, "the job has not ended"),
        ("waits", "Pending", {}, "the job has not ended"),
        ("model", "Failed", {"opt_ml__model__weights": "x"}, "its results are in no bucket: "),
        ("output", "Completed", {"opt_ml__output__data__x": "x"}, "its results are in no bucket: "),
        ("checkpoint", "Stopped", {"opt_ml__checkpoints__last": "x"}, "its results are in no bucket: "),
    ],
)
def test_what_is_needed_stays(home: Home, name: str, secondary: str, files: dict[str, str], why: str) -> None:
    folder = home.job(name, secondary, **files)
    before = sorted(folder.rglob("*"))
    assert home.clean()[name].startswith(why)
    assert sorted(folder.rglob("*")) == before


def test_the_young_stay(home: Home) -> None:
    folder = home.job("done")
    path = home.log(GROUP, "done/algo-1-5")
    os.utime(path)
    (kept := home.environment("a") / "used").touch()
    os.utime(kept)
    assert set(home.clean(before=time.time() - 3600).values()) == {"too young"}
    assert folder.is_dir()
    assert path.is_file()
    assert kept.is_file()


def test_a_folder_that_the_store_knows_nothing_of_stays(home: Home) -> None:
    folder = home.settings.jobs_root / "somebodys"
    folder.mkdir(parents=True)
    (folder / "notes").write_text("mine")
    link = home.settings.jobs_root / "link"
    link.symlink_to(folder)
    assert home.clean() == {"somebodys": "the store knows no job of this name"}
    assert (link / "notes").read_text() == "mine"


def test_a_job_that_takes_the_name_meanwhile_keeps_its_folder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home.job("done")
    needed = cleaning._needed

    def look(*given: Any) -> str:
        why = needed(*given)
        (folder / "created").write_text("arn:another 7.0\n")  # between the look and the removal
        return why

    monkeypatch.setattr(cleaning, "_needed", look)
    assert home.clean() == {"done": "another job has its name now"}
    assert (folder / "created").read_text() == "arn:another 7.0\n"
    assert [path.name for path in home.settings.jobs_root.iterdir()] == ["done"]


def test_objects_are_never_touched(home: Home) -> None:
    place = home.settings.s3_root / "bucket" / "job" / "output" / "model.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"model")
    os.utime(place, (1, 1))
    home.job("job")
    home.clean()
    assert place.read_bytes() == b"model"


def test_logs(home: Home) -> None:
    home.job("done")
    home.job("runs", "Training")
    home.store.create("endpoint", "pets", arn="arn:pets", body={})
    old, running = home.log(GROUP, "done/algo-1-5"), home.log(GROUP, "runs/algo-1-5")
    served, gone = home.log(ENDPOINT, "AllTraffic/i-1"), home.log(f"{ENDPOINT}-gone", "AllTraffic/i-1")
    mine = home.log("my-group", "stream")
    kept = {item.path: item.kept for item in home.items() if item.kind == "log"}
    assert kept == {
        old: "",
        running: "its job has not ended",
        served: "its endpoint is there",
        gone: "",
        mine: "it is neither a job's nor an endpoint's",
    }
    assert [path.exists() for path in (old, running, served, gone, mine)] == [False, True, True, False, True]
    assert not old.parent.exists()


def test_environments_that_nobody_uses(home: Home) -> None:
    unused, used = home.environment("unused"), home.environment("used-now")
    with used.with_name("used-now.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a job holds it
        assert home.clean() == {"unused": "", "used-now": "a job uses it"}
    assert not unused.exists()
    assert used.is_dir()


KILLED = """
import os, signal, sys
from pathlib import Path
from clary.control import cleaning
from clary.control.jobs.kinds import KINDS
from clary.control.settings import Settings
from clary.control.store.records import Store
cleaning.remove_tree = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
settings = Settings(home=Path(sys.argv[1]))
list(cleaning.clean(settings, Store(settings.database), {kind.name: kind for kind in KINDS}, before=1e12))
"""


def test_one_that_is_killed_is_made_up_for(home: Home) -> None:
    home.job("done", opt_ml__config="{}")
    kept = home.job("model", opt_ml__model__weights="x")
    done = subprocess.run([sys.executable, "-c", KILLED, str(home.settings.home)], timeout=60)
    assert done.returncode < 0
    (left,) = [path for path in home.settings.jobs_root.iterdir() if path != kept]
    assert left.name.startswith(".removed-")
    home.clean()
    assert list(home.settings.jobs_root.iterdir()) == [kept]
    assert (kept / "opt_ml" / "model" / "weights").read_text() == "x"
