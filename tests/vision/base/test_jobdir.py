from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import ClaryError, CustomerError, UsageError
from clary.vision.base.jobdir import Channel, JobDir, media_type


@pytest.fixture
def pets_folder(tmp_path: Path) -> Path:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/a.jpg").touch()
    return tmp_path / "pets"


class TestMediaType:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("application/x-image", ("application/x-image", {})),
            ("Image/JPEG ; Q=0.5", ("image/jpeg", {"q": "0.5"})),
            ('a/b; label-format="class-id";;x', ("a/b", {"label-format": "class-id", "x": ""})),
            ("", ("", {})),
        ],
    )
    def test_parts(self, text: str, wanted: tuple[str, dict[str, str]]) -> None:
        assert media_type(text) == wanted

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        kind, options = media_type(text)
        assert kind == kind.lower()
        assert all(name == name.lower() for name in options)

    def test_options_of_a_channel(self) -> None:
        assert Channel("train", Path("x"), "a/b; labels=species").options == {"labels": "species"}


class TestWriting:
    def test_the_layout(self, tmp_path: Path, pets_folder: Path) -> None:
        channel = Channel("train", pets_folder, "application/x-image", "FastFile")
        job = JobDir.create(tmp_path / "job", {"epochs": "3"}, {"train": channel})
        found = {path.relative_to(job.root).as_posix() for path in job.root.rglob("*")}
        assert found >= {
            "input/config/hyperparameters.json",
            "input/config/inputdataconfig.json",
            "input/config/resourceconfig.json",
            "input/data/train",
            "model",
            "checkpoints",
            "output/data",
        }
        assert json.loads((job.config / "hyperparameters.json").read_text()) == {"epochs": "3"}
        assert json.loads((job.config / "inputdataconfig.json").read_text()) == {
            "train": {
                "TrainingInputMode": "FastFile",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
                "ContentType": "application/x-image",
            }
        }
        assert json.loads((job.config / "resourceconfig.json").read_text())["hosts"] == ["algo-1"]
        assert (job.data / "train/a.jpg").is_file()
        assert (job.data / "train").is_symlink()

    def test_what_is_written_is_read(self, tmp_path: Path, pets_folder: Path) -> None:
        given = {
            "train": Channel("train", pets_folder, "a/b; c=d", "Pipe", "ShardedByS3Key", "RecordIO"),
            "test": Channel("test", pets_folder),
        }
        job = JobDir.create(tmp_path / "job", {"a": "1", "b": ""}, given)
        again = JobDir(str(job.root))
        assert again.hyperparameters == {"a": "1", "b": ""}
        for name, channel in again.channels.items():
            wanted = given[name]
            assert channel.path == job.data / name
            assert (channel.content_type, channel.input_mode) == (wanted.content_type, wanted.input_mode)
            assert (channel.distribution, channel.record_wrapper) == (wanted.distribution, wanted.record_wrapper)

    def test_a_link_that_is_there_already_is_kept(self, tmp_path: Path, pets_folder: Path) -> None:
        """Of data that its maker reads where it lies (control.jobs.channels)."""
        place = tmp_path / "ml" / "input" / "data" / "train"
        place.parent.mkdir(parents=True)
        place.symlink_to(pets_folder)
        JobDir.create(tmp_path / "ml", {}, {"train": Channel("train", place)})
        assert place.resolve() == pets_folder.resolve()

    def test_written_again_links_point_to_the_new_place(self, tmp_path: Path, pets_folder: Path) -> None:
        (tmp_path / "other").mkdir()
        for folder in (pets_folder, tmp_path / "other"):
            job = JobDir.create(tmp_path / "job", {}, {"train": Channel("train", folder)})
            assert (job.data / "train").resolve() == folder

    def test_data_in_its_place_stays(self, tmp_path: Path) -> None:
        place = tmp_path / "job/input/data/train"
        place.mkdir(parents=True)
        JobDir.create(tmp_path / "job", {}, {"train": Channel("train", place)})
        assert place.is_dir()
        assert not place.is_symlink()

    @pytest.mark.parametrize("name", ["..", ".", "../x", "a/b", "", ".hidden", "a b"])
    def test_channels_stay_in_their_folder(self, tmp_path: Path, pets_folder: Path, name: str) -> None:
        with pytest.raises(UsageError, match="a channel cannot be called"):
            JobDir.create(tmp_path / "job", {}, {name: Channel(name, pets_folder)})

    def test_the_failure_note_is_cut(self, tmp_path: Path) -> None:
        job = JobDir(tmp_path)
        job.fail("x" * 5000)
        assert job.failure.read_text() == "x" * 1024


class TestReading:
    def test_where_sagemaker_has_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("SAGEMAKER_BASE_DIR", raising=False)
        assert JobDir.from_environment().config == Path("/opt/ml/input/config")
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
        assert JobDir.from_environment().root == tmp_path

    def test_values_that_are_no_strings(self, config: Callable[..., JobDir]) -> None:
        job = config("hyperparameters.json", {"a": 1, "b": 0.5, "c": True, "d": [1, 2], "e": "x"})
        assert job.hyperparameters == {"a": "1", "b": "0.5", "c": "true", "d": "[1, 2]", "e": "x"}

    def test_a_channel_without_content_type(self, config: Callable[..., JobDir]) -> None:
        job = config("inputdataconfig.json", {"train": {}, "test": {"ContentType": None}})
        assert [channel.content_type for channel in job.channels.values()] == ["", ""]
        assert job.channels["train"].input_mode == "File"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is not JSON"),
            ("{", "is not JSON"),
            ("[" * 100_000, "is not JSON"),
            ("\xff", "is not JSON"),
            ("[1]", "holds a JSON list, not an object"),
            ('{"train": 1}', "the train channel is no JSON object"),
        ],
    )
    def test_files_that_are_wrong(self, tmp_path: Path, text: str, said: str) -> None:
        job = JobDir(tmp_path)
        job.config.mkdir(parents=True)
        (job.config / "inputdataconfig.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(CustomerError, match=said):
            _ = job.channels

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"hyperparameters\.json: cannot be read \(No such file or directory\)"):
            _ = JobDir(tmp_path).hyperparameters

    @settings(max_examples=60)
    @given(data=st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda value: json.dumps({"train": value}).encode()
    )))  # fmt: skip
    def test_any_bytes(self, data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
        job = JobDir(tmp_path_factory.mktemp("fuzz"))
        job.config.mkdir(parents=True)
        for name in ("inputdataconfig.json", "hyperparameters.json"):
            (job.config / name).write_bytes(data)
        for read in (lambda: job.channels, lambda: job.hyperparameters):
            with suppress(ClaryError):
                assert isinstance(read(), dict)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., JobDir]:
    """``config(name, value)``: a job directory with that one configuration file."""

    def make(name: str, value: Any) -> JobDir:
        job = JobDir(tmp_path)
        job.config.mkdir(parents=True)
        (job.config / name).write_text(json.dumps(value))
        return job

    return make


def test_a_failure_is_not_written_through_a_link(tmp_path):
    job = JobDir(tmp_path / "job")
    (tmp_path / "mine").mkdir()
    (tmp_path / "job").mkdir()
    job.output.symlink_to(tmp_path / "mine")
    job.fail("no such column")
    assert list((tmp_path / "mine").iterdir()) == []
