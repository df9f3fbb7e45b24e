"""Models out of what stopped runs leave, also out of what somebody else wrote."""

from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from clary.errors import ArtifactError
from clary.vision.artifact.archive import UnfinishedError, open_model, open_unfinished
from clary.vision.artifact.draft import Draft, find_draft
from clary.vision.artifact.manifest import Manifest
from clary.vision.artifact.writer import sole_writer
from clary.vision.inference.finishing import finish, main, open_finished

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def draft(model_folder: Path, tmp_path: Path) -> Path:
    """A folder with the draft of ``model_folder``."""
    state = load_file(model_folder / "model.safetensors")
    own = {name.removeprefix("classifier."): value for name, value in state.items()}
    manifest = replace(Manifest.read(model_folder / "manifest.json"), engines={}, files={})
    pictures = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3)).astype(np.uint8)
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "best.params").write_bytes(Draft.encode(own, "classifier", manifest, pictures))
    return tmp_path / "draft"


def test_a_draft_becomes_the_model_it_would_have_been(draft: Path, model_folder: Path) -> None:
    with pytest.raises(UnfinishedError, match="holds the weights of a run that was stopped, and no model yet"):
        open_model(draft)
    with open_finished(draft) as model:
        assert model.manifest.labels == ("cat", "dog", "fox")
        assert model.manifest.engines
    assert (draft / "model.safetensors").read_bytes() == (model_folder / "model.safetensors").read_bytes()
    assert not list(draft.glob("*.params"))


def test_weights_of_another_network_are_one_line(draft: Path) -> None:
    state = {name: value.clone() for name, value in load_file(draft / "best.params").items()}
    found = find_draft(draft)
    assert found is not None
    del state[next(name for name in state if name.endswith("weight"))]
    (draft / "best.params").write_bytes(Draft.encode(state, "classifier", found.manifest, found.examples()))
    with pytest.raises(ArtifactError, match="the weights do not fit the network"):
        finish(draft)
    (draft / "best.params").write_bytes(Draft.encode(state, "no_such_part", found.manifest, found.examples()))
    with pytest.raises(ArtifactError, match="the weights do not fit the network"):
        finish(draft)
    assert not (draft / "manifest.json").exists()


def renoted(path: Path, **changes: object) -> None:
    """Write the draft anew with another note."""
    state = {name: value.clone() for name, value in load_file(path).items()}
    with safe_open(path, framework="pt") as file:
        note = json.loads(file.metadata()["clary.draft"])
    save_file(state, path, {"clary.draft": json.dumps(note | changes)})


def as_text(width: int, height: int) -> str:
    stream = io.BytesIO()
    Image.new("1", (width, height)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    ("pictures", "what"),
    [
        ([], "need at least one array"),
        (["AAAA"], "is not a picture"),
        ([as_text(8, 8), as_text(9, 9)], "must have the same shape"),
        ([as_text(30_000, 30_000)], "above the limit of"),
    ],
    ids=["none", "no picture", "sizes", "bomb"],
)
def test_pictures_of_a_stranger_are_one_line(pictures: list[str], what: str, draft: Path) -> None:
    renoted(draft / "best.params", pictures=pictures)
    with pytest.raises(ArtifactError, match=rf"best\.params: the pictures in it cannot be used \(.*({what})"):
        open_finished(draft)


def test_a_draft_of_a_newer_release_is_refused(draft: Path) -> None:
    renoted(draft / "best.params", version=2)
    with pytest.raises(ArtifactError, match="has version 2, this clary reads up to 1; update clary"):
        open_finished(draft)


@pytest.mark.parametrize("note", [None, "{", json.dumps({"part": "x"}), json.dumps([1])])
def test_what_is_no_draft(
    note: str | None, draft: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: value.clone() for name, value in load_file(draft / "best.params").items()}
    save_file(state, draft / "best.params", None if note is None else {"clary.draft": note})
    assert find_draft(draft) is None
    with pytest.raises(ArtifactError, match=r"holds no manifest\.json"):
        open_finished(draft)
    monkeypatch.setattr("sys.argv", ["finishing", str(draft)])
    assert main() == 3
    shutil.rmtree(draft)
    assert find_draft(draft) is None


def test_the_folder_of_a_training_that_goes_on_is_left_alone(draft: Path) -> None:
    """It was finished in its place: the training's newest weights went, and its model had the checksums of another."""
    before = {path.name: path.read_bytes() for path in draft.iterdir()}
    with sole_writer(draft) as alone, open_finished(draft) as model:
        assert alone
        assert model.manifest.labels == ("cat", "dog", "fox")
        assert model.folder != draft
        assert {path.name: path.read_bytes() for path in draft.iterdir()} == before
    assert not model.folder.exists()


def test_a_folder_that_cannot_be_written_to_is_finished_elsewhere(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with open_finished(draft) as model:
        assert model.folder != draft
    assert [path.name for path in draft.iterdir()] == ["best.params"]


def test_of_two_who_finish_it_the_second_finds_a_model(draft: Path) -> None:
    def late(folder: Path) -> None:
        raise AssertionError("it is finished")

    with open_finished(draft):
        pass
    with open_unfinished(draft, late) as model:
        assert model.folder == draft
