from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clary.errors import ClaryError, CustomerError, DataError
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir
from clary.vision.base.recordio import frame
from clary.vision.base.types import Blob, Box, Dataset, Sample, TaskName
from clary.vision.datasets import channels
from clary.vision.datasets.reading import ReadingOptions, read
from clary.vision.formats import FORMATS, Format
from clary.vision.formats._masks import mask_png

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

    @pytest.mark.parametrize(
        "kind", ["image/jpg", "application/jpeg", "image/pjpeg", "application/png", "Image/JPG; q=1"]
    )
    def test_content_types_by_other_names(self, data: Path, kind: str) -> None:
        assert channels.load(job(data, "train", "validation", "train_lst", "validation_lst", kind=kind)).format == "lst"

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
            (
                ["train", "validaton"],
                "The validation channel is missing; this algorithm needs the channels train and validation; is "
                "`validaton` meant for one of them",
            ),
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
        handled = sorted({k for format in FORMATS if "classification" in format.tasks for k in format.content_types})
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


class TestOtherTasks:
    """Boxes and masks, in files and through pipes, by content type, mode and wrapper."""

    @pytest.fixture
    def jobs(self, tmp_path: Path, jpeg: Callable[..., bytes]) -> Callable[..., JobDir]:
        samples = []
        for seed in range(4):
            path = tmp_path / f"{seed}.jpg"
            path.write_bytes(jpeg(seed=seed))
            path.with_suffix(".png").write_bytes(mask_png(np.full((48, 64), seed % 3, np.uint8)))
            box = Box(seed % 2, 1, 2, 30 + seed, 40)
            samples.append(Sample(Blob(path), (seed % 2,), (box,), Blob(path.with_suffix(".png"))))
        data = Dataset(
            tmp_path, "memory", ("a", "b", "c"), {"train": tuple(samples[:3]), "validation": tuple(samples[3:])}
        )

        def make(format: str, task: TaskName) -> JobDir:
            FORMATS.get(format).write(replace(data, task=task), tmp_path / "data")
            if format != "recordio":
                names = ("train", "validation", "train_annotation", "validation_annotation")
                return job(tmp_path / "data", *names)
            for name in ("train", "validation"):
                (tmp_path / f"data/{name}").mkdir()
                (tmp_path / f"data/{name}.rec").rename(tmp_path / f"data/{name}/{name}.rec")
            return job(tmp_path / "data", "train", "validation", kind="application/x-recordio")

        return make

    @pytest.mark.parametrize(
        ("format", "task"),
        [("sagemaker-json", "detection"), ("recordio", "detection"), ("sagemaker-png", "segmentation")],
    )
    def test_files(self, jobs: Callable[..., JobDir], format: str, task: TaskName) -> None:
        found = channels.load(jobs(format, task), num_classes=4, task=task)
        assert (found.format, found.task, len(found.class_names)) == (format, task, 4)
        assert {split: len(samples) for split, samples in found.splits.items()} == {"train": 3, "validation": 1}
        assert found.problems == ()

    @pytest.mark.parametrize("mode", ["File", "Pipe"])
    def test_masks_come_in_no_records_but_those_of_a_manifest(self, tmp_path: Path, mode: str) -> None:
        for name in ("train", "validation"):
            (tmp_path / "data" / name).mkdir(parents=True)
        made = job(tmp_path / "data", "train", "validation", kind="application/x-recordio", mode=mode)
        with pytest.raises(CustomerError) as caught:
            channels.load(made, task="segmentation", required=("train",))
        told = str(caught.value)
        assert told.startswith(
            "For segmentation application/x-recordio is read in one way only; the channels are train"
        )
        assert "send an augmented manifest: S3DataType AugmentedManifestFile, Pipe mode, RecordWrapperType Rec" in told

    def test_class_ids_beyond_num_classes(self, jobs: Callable[..., JobDir]) -> None:
        with pytest.raises(DataError) as caught:
            channels.load(jobs("sagemaker-json", "detection"), num_classes=1, task="detection")
        assert str(caught.value).startswith(
            "train_annotation/1.json: has the class id 1; with num_classes 1 class ids run from 0 to 0; set num_cl"
        )

    def test_no_boxes_at_all(self, jobs: Callable[..., JobDir]) -> None:
        made = jobs("sagemaker-json", "detection")
        for path in (made.data / "train_annotation").iterdir():
            path.write_text('{"annotations": []}')
        with pytest.raises(DataError, match="The train channel has no box in any picture"):
            channels.load(made, task="detection")

    def test_an_augmented_manifest(self, tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
        names = ("train", "validation")
        kind = "application/x-recordio"
        given = {n: Channel(n, tmp_path / n, kind, "Pipe", record_wrapper="RecordIO") for n in names}
        made = JobDir.create(tmp_path / "job", {}, given)
        for name in names:
            (made.data / name).unlink()
            stream = b"".join(frame(r) for r in (jpeg(seed=1), b"0", jpeg(seed=2), b"1"))
            (made.data / f"{name}_0").write_bytes(stream)
        found = channels.load(made, num_classes=2)
        assert (found.format, found.problems, found.counts("train")) == ("augmented-manifest", (), [1, 1])

    def test_wrapped_and_plain_records_do_not_mix(self, tmp_path: Path) -> None:
        kind = "application/x-recordio"
        given = {
            "train": Channel("train", tmp_path, kind, "Pipe", record_wrapper="RecordIO"),
            "validation": Channel("validation", tmp_path, kind, "Pipe"),
        }
        with pytest.raises(CustomerError) as caught:
            channels.load(JobDir.create(tmp_path / "job", {}, given))
        assert str(caught.value) == (
            "The channels do not go together: train application/x-recordio in Pipe mode, wrapper RecordIO, validation "
            "application/x-recordio in Pipe mode, wrapper None; give all the same content type, input mode and record "
            "wrapper"
        )

    @pytest.mark.pets
    @pytest.mark.parametrize("task", ["detection", "segmentation"])
    def test_real_pets(self, pets: Path, tmp_path: Path, task: TaskName) -> None:
        channel = Channel("dataset", pets, f"{DATASET_CONTENT_TYPE}; validation=0.25; seed=0")
        found = channels.load(JobDir.create(tmp_path / "job", {}, {"dataset": channel}), task=task)
        assert found.class_names == (("cat", "dog") if task == "detection" else ("pet", "background", "border"))
        assert len(found.splits["validation"]) == (58 if task == "detection" else 59)


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

    def test_what_was_read_already_is_taken(self, data: Path) -> None:
        channel = Channel("dataset", data / "train", DATASET_CONTENT_TYPE)
        made = JobDir.create(data.parent / "job", {}, {"dataset": channel})
        made.dataset = read(data / "train", ReadingOptions(validation=0.5), task="classification")
        found = channels.load(made, num_classes=2)
        assert found.splits == made.dataset.splits
        assert found.root == made.data / "dataset"
        with pytest.raises(CustomerError, match="num_classes is 3"):  # and looked at as closely
            channels.load(made, num_classes=3)

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
    tasks = frozenset[TaskName]({"classification"})
    content_types = ("text/csv",)

    def sniff(self, root: Path) -> bool:
        return False

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
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
