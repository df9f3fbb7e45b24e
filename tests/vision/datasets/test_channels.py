from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import ClaryError, CustomerError, DataError
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir
from clary.vision.base.types import Dataset, Task
from clary.vision.datasets import channels
from clary.vision.formats import FORMATS, Format

Tree = Callable[..., Path]
IMAGES = "application/x-image"


@pytest.fixture
def data(tmp_path: Path, class_folders: Tree) -> Path:
    """Folders ``train``, ``validation`` with class folders, and lists of all their pictures beside them."""
    root = tmp_path / "data"
    for name, seed in (("train", 0), ("validation", 50)):
        class_folders(root / name, {"red": 3, "blue": 3}, seed=seed)
        rows = [f"{n}\t{int(n < 3)}\t{'red' if n < 3 else 'blue'}/{n % 3}.jpg\n" for n in range(6)]
        (root / f"{name}_lst").mkdir()
        (root / f"{name}_lst" / f"{name}.lst").write_text("".join(rows))
    return root


def job(data: Path, *names: str, kind: str = IMAGES, mode: str = "File") -> JobDir:
    found = {name: Channel(name, data / name, kind, mode) for name in names}
    return JobDir.create(data.parent / "job", {}, found)


class TestSageMakerChannels:
    def test_lists(self, data: Path) -> None:
        made = job(data, "train", "validation", "train_lst", "validation_lst")
        found = channels.load(made, num_classes=2, multi_label=False)
        assert found.format == "lst"
        assert found.class_names == ("blue", "red")
        assert (found.counts("train"), found.counts("validation")) == ([3, 3], [3, 3])
        assert found.splits["train"][0].source == "train_lst/train.lst:1"
        assert found.splits["train"][0].image.path == made.data / "train/red/0.jpg"

    @pytest.mark.parametrize("kind", [IMAGES, "image/jpeg", "image/png", "", "Application/X-Image; charset=none"])
    def test_class_folders_without_lists(self, data: Path, kind: str) -> None:
        found = channels.load(job(data, "train", "validation", kind=kind))
        assert found.format == "folder"
        assert found.class_names == ("blue", "red")
        assert found.splits.keys() == {"train", "validation"}

    def test_kinds_of_pictures_may_mix(self, data: Path) -> None:
        kinds = {"train": "image/jpeg", "validation": "image/png", "train_lst": IMAGES, "validation_lst": IMAGES}
        mixed = {name: Channel(name, data / name, kind) for name, kind in kinds.items()}
        assert channels.load(JobDir.create(data.parent / "job", {}, mixed)).format == "lst"

    def test_the_model_channel_is_not_data(self, data: Path) -> None:
        (data / "model").mkdir()
        both = {name: Channel(name, data / name, IMAGES) for name in ("train", "validation")}
        both["model"] = Channel("model", data / "model", "application/x-sagemaker-model")
        assert len(channels.load(JobDir.create(data.parent / "job", {}, both))) == 12

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (["train"], "The validation channel is missing; this algorithm needs the channels train and validation"),
            (["validation"], "The train channel is missing"),
            ([], "The train and validation channels are missing"),
            (["train", "validation", "train_lst"], "The validation_lst channel is missing"),
        ],
    )
    def test_missing_channels(self, data: Path, names: list[str], said: str) -> None:
        with pytest.raises(CustomerError) as caught:
            channels.load(job(data, *names))
        assert str(caught.value).startswith(said)

    def test_what_is_required_can_be_said(self, data: Path) -> None:
        assert channels.load(job(data, "train"), required=["train"]).splits.keys() == {"train"}

    def test_a_content_type_nobody_reads(self, data: Path) -> None:
        with pytest.raises(CustomerError) as caught:
            channels.load(job(data, "train", "validation", kind="text/csv"))
        assert str(caught.value).startswith(
            "The train channel has the content type `text/csv`, which is not read here;"
        )
        handled = sorted({kind for format in FORMATS for kind in format.content_types})
        assert f"use one of {', '.join([*handled, DATASET_CONTENT_TYPE])}" in str(caught.value)

    def test_pictures_are_not_read_in_pipe_mode(self, data: Path) -> None:
        with pytest.raises(CustomerError, match=r"The train channel is in Pipe mode; application/x-image is read in F"):
            channels.load(job(data, "train", "validation", mode="Pipe"))

    def test_data_that_has_gone(self, data: Path) -> None:
        made = job(data, "train", "validation")
        (made.data / "validation").unlink()
        with pytest.raises(CustomerError, match="The validation channel has no data"):
            channels.load(made)

    def test_a_faulty_list(self, data: Path) -> None:
        made = job(data, "train", "validation", "train_lst", "validation_lst")
        (data / "train_lst/train.lst").write_text("1 0 red/0.jpg\n")
        with pytest.raises(DataError, match=r"^Invalid lst file in the train channel\. train_lst/train\.lst:1: is sep"):
            channels.load(made, num_classes=2)

    def test_multi_label_pictures_need_lists(self, data: Path) -> None:
        with pytest.raises(CustomerError, match="add train_lst and validation_lst channels"):
            channels.load(job(data, "train", "validation"), multi_label=True)


class TestUse:
    def test_num_classes_must_fit(self, data: Path) -> None:
        with pytest.raises(CustomerError, match=r"The data has 2 classes, num_classes is 3; set num_classes to 2"):
            channels.load(job(data, "train", "validation"), num_classes=3)

    def test_one_class_only(self, tmp_path: Path, class_folders: Tree) -> None:
        for name in ("train", "validation"):
            class_folders(tmp_path / "data" / name, {"red": 2})
        with pytest.raises(DataError, match="The train channel has one class only, `red`"):
            channels.load(job(tmp_path / "data", "train", "validation"))

    def test_no_pictures_at_all(self, tmp_path: Path) -> None:
        for name in ("train", "validation"):
            (tmp_path / "data" / name).mkdir(parents=True)
        with pytest.raises(DataError, match="The train channel holds no usable picture"):
            channels.load(job(tmp_path / "data", "train", "validation"))


class TestOwnChannel:
    def load(self, root: Path, options: str = "", **more: object) -> Dataset:
        channel = Channel("dataset", root, DATASET_CONTENT_TYPE + options)
        made = JobDir.create(root.parent / "job", {}, {"dataset": channel})
        return channels.load(made, **more)  # type: ignore[arg-type]

    def test_any_layout_with_its_own_splits(self, data: Path) -> None:
        found = self.load(data / "train", "; validation=0")
        assert found.splits.keys() == {"train"}
        assert found.counts("train") == [3, 3]

    def test_a_validation_split_is_held_out(self, data: Path) -> None:
        assert self.load(data / "train").counts("validation") == [1, 1]
        assert self.load(data / "train", "; validation=0.5; seed=3").counts("validation") == [2, 2]

    def test_a_validation_split_is_kept(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path / "pets", {"train/a": 5, "train/b": 5, "valid/a": 1})
        assert self.load(tmp_path / "pets").counts("validation") == [1, 0]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("; validation=much", "The option `validation` of the dataset channel is `much`, which is not a number"),
            ("; validation=1.5", "use 0 <= fraction < 1"),
            ("; seed=-1", "The option `seed` of the dataset channel is `-1`, which is not a whole number from 0"),
            ("; seed=0.5", "which is not a whole number from 0"),
            ("; flavour=x", "has the option `flavour`, which is not known; use labels, seed, validation"),
            ("; labels=species", "the folder layout has no labels called `species`"),
        ],
    )
    def test_options_are_checked(self, data: Path, options: str, said: str) -> None:
        with pytest.raises(CustomerError) as caught:
            self.load(data / "train", options)
        assert said in str(caught.value)

    def test_a_folder_that_has_gone(self, tmp_path: Path) -> None:
        with pytest.raises(CustomerError, match="The dataset channel has no data"):
            self.load(tmp_path / "gone")

    @pytest.mark.pets
    def test_real_pets(self, pets: Path, tmp_path: Path) -> None:
        channel = Channel("dataset", pets, f"{DATASET_CONTENT_TYPE}; labels=species; validation=0.1; seed=1")
        found = channels.load(JobDir.create(tmp_path / "job", {}, {"dataset": channel}), num_classes=2)
        assert found.class_names == ("cat", "dog")
        assert found.counts("validation") == [16, 7]


class Csv(Format):
    """A format of another distribution, for one content type."""

    name = "csv"
    layout = "nothing"
    tasks = frozenset[Task]({"classification"})
    content_types = ("text/csv",)

    def sniff(self, root: Path) -> bool:
        return False

    def _read(self, root: Path, task: Task, labels: str | None) -> Dataset:
        raise AssertionError

    def read_channels(self, *args: object, **options: object) -> Dataset:
        raise ClaryError(f"asked with {sorted(options)}")


@pytest.fixture
def with_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FORMATS, "_members", {**{format.name: format for format in FORMATS}, "csv": Csv()})


@pytest.mark.usefixtures("with_csv")
class TestContentTypesChooseTheFormat:
    def test_a_new_format_is_asked(self, data: Path) -> None:
        with pytest.raises(ClaryError, match=r"asked with \['multi_label', 'num_classes', 'task'\]"):
            channels.load(job(data, "train", "validation", kind="text/csv"))

    def test_channels_of_two_formats(self, data: Path) -> None:
        mixed = {
            "train": Channel("train", data / "train", "text/csv"),
            "validation": Channel("validation", data, IMAGES),
        }
        with pytest.raises(CustomerError, match="The channels do not go together: train text/csv, validation app"):
            channels.load(JobDir.create(data.parent / "job", {}, mixed))
