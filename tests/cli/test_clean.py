"""``clary clean``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.control.jobs.kinds.training import status
from clary.control.settings import Settings
from clary.control.store.records import Store

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With the job ``done``, whose model is in no bucket, and the job ``stored``."""
    settings = Settings(home=tmp_path / "home")
    store = Store(settings.database)
    for name in ("done", "stored"):
        body = status.advance({"TrainingJobName": name, "CreationTime": 5.0}, "Completed", now=6.0)
        store.create("training-job", name, arn=f"arn:{name}", body=body, status="Completed")
        (settings.jobs_root / name).mkdir(parents=True)
    (settings.jobs_root / "done" / "opt_ml" / "model").mkdir(parents=True)
    (settings.jobs_root / "done" / "opt_ml" / "model" / "weights").write_text("x")
    store.close()
    return settings.home


def test_it_says_what_goes_and_what_stays(home: Path, cli: Cli) -> None:
    code, output, _ = cli("clean", "--home", home, "--older", "0h", "--dry-run")
    assert code == 0
    assert "would be removed" in output
    assert f"kept {home}/jobs/done: its results are in no bucket: {home}/jobs/done/opt_ml/model" in output
    assert (home / "jobs" / "stored").is_dir()
    assert "would be" not in cli("clean", "--home", home, "--older", "0h")[1]
    assert [path.name for path in (home / "jobs").iterdir()] == ["done"]


def test_the_usual_age_is_thirty_days(home: Path, cli: Cli) -> None:
    _, output, said = cli("clean", "--home", home)
    assert "nothing to remove that is older than 30d" in output + said
    assert "kept 1 that were used within the last 30d" in output
    _, output, _ = cli("clean", "--home", home, "--json")
    assert {Path(one["path"]).name: one["kept"][:10] for one in json.loads(output)} == {
        "done": "its result",
        "stored": "too young",
    }


def test_wrong_words(home: Path, tmp_path: Path, cli: Cli) -> None:
    code, _, said = cli("clean", "--home", home, "--older", "soon")
    assert (code, "write 12h, 30d or 4w" in said) == (2, True)
    code, _, said = cli("clean", "--home", tmp_path / "none")
    assert (code, "there is no store of a platform" in said) == (2, True)
