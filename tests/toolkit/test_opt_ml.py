"""/opt/ml by links: for one job at a time, and nothing left of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from clary.errors import UsageError
from clary.toolkit.opt_ml import can_link, linked, permitting_command, refusal


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "job" / "model").mkdir(parents=True)
    (tmp_path / "job" / "mine").mkdir()
    return tmp_path / "job"


def test_the_jobs_folders_are_seen_and_gone_afterwards(tree, tmp_path):
    place = tmp_path / "opt-ml"
    with linked(tree, place, lambda line: None):
        (place / "model" / "x").touch()
        assert (place / "mine").is_dir()
        # Made by the script later.
        (tree / "code").mkdir()
        assert (place / "code").is_dir()
    assert (tree / "model" / "x").exists()
    assert os.listdir(place) == [".clary-lock"]


def test_one_at_a_time(tree, tmp_path):
    place = tmp_path / "opt-ml"
    said: list[str] = []
    order: list[str] = []
    other = tmp_path / "other"
    (other / "model").mkdir(parents=True)
    waiting = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waiting.set()

    def second() -> None:
        with linked(other, place, say):
            order.append(os.readlink(place / "model"))

    with linked(tree, place, lambda line: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append(os.readlink(place / "model"))
    thread.join()
    assert order == [str(tree / "model"), str(other / "model")]
    assert said == [f"Waiting for {place}, which the script of another job has"]


def test_links_of_a_killed_one_are_replaced_and_anothers_folder_is_not(tree, tmp_path):
    place = tmp_path / "opt-ml"
    place.mkdir()
    (place / "model").symlink_to(tmp_path / "gone" / "model")
    with linked(tree, place, lambda line: None):
        assert os.readlink(place / "model") == str(tree / "model")
    (place / "output").mkdir()
    with linked(tree, place, lambda line: None):
        assert (place / "output").is_symlink()
    (place / "output" / "mine").mkdir(parents=True)
    with (
        pytest.raises(UsageError, match=r"opt-ml/output: is in the way of a job's own; move it away"),
        linked(tree, place, lambda line: None),
    ):
        pass
    assert sorted(os.listdir(place)) == [".clary-lock", "output"]


def test_where_it_may_be_done(tmp_path):
    assert can_link(tmp_path)
    assert can_link(tmp_path / "new")
    assert not can_link(tmp_path / "no" / "parent")
    (tmp_path / "link").symlink_to(tmp_path)
    assert not can_link(tmp_path / "link")
    (tmp_path / "file").touch()
    assert not can_link(tmp_path / "file")
    assert str(refusal()).endswith(f"for one script at a time: {permitting_command()}")


def test_a_script_sees_it(run_script, tmp_path):
    place = tmp_path / "opt-ml"
    script = f"import os\nopen('{place}/model/x', 'w').close()\nprint('told', os.environ['SM_MODEL_DIR'])\n"
    found = run_script({"train.py": script}, link=place)
    assert found.code == 0, found.log
    assert f"told {place}/model" in found.log
    assert (found.job.model / "x").exists()
