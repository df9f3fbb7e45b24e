"""Wrong input: `clary data check` names the record, and so does the job, which ends or leaves the record out.

What makes a record unusable by itself (a box, a mask that is missing) is left out with a warning; what shows that all
of the data may be meant otherwise (a class id that num_classes does not have, bytes that are no records, attributes in
another order) ends the job with a `ClientError`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.errors import CustomerError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import run_job
from clary.vision.base.events import BatchEnd, Hook
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.recordio import ImageRecord, frame, pack
from clary.vision.formats._masks import mask_png

pytestmark = pytest.mark.usefixtures("one_thread")

Cli = Callable[..., tuple[int, str, str]]
Spoil = Callable[[Path], object]

ALGORITHMS = {"detection": "object-detection", "segmentation": "semantic-segmentation"}
COMMON = {"num_training_samples": "4", "epochs": "1", "backbone": "test_resnet", "precision": "fp32"}
SETTINGS = {
    "detection": COMMON
    | {"num_classes": "2", "mini_batch_size": "1", "use_pretrained_model": "0", "label_width": "12"},
    "segmentation": COMMON
    | {
        "num_classes": "3",
        "mini_batch_size": "4",
        "use_pretrained_model": "False",
        "base_size": "64",
        "crop_size": "32",
        "algorithm": "unet",
    },
}
COUNTS = {"train": 4, "validation": 1}
WIDTH, HEIGHT = 64, 48


class Begun(BaseException):
    """A step was taken: the data could be used. No Exception: for those a run leaves a failure note."""


class UntilBegun(Hook):
    def on_batch(self, event: BatchEnd) -> None:
        raise Begun


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def mask(value: int = 1, rows: int = HEIGHT, columns: int = WIDTH) -> bytes:
    ids = np.zeros((rows, columns), np.uint8)
    ids[8:30, 10:40] = value
    return mask_png(ids)


def annotation(**changes: Any) -> dict[str, Any]:
    box = {"class_id": 1, "left": 10, "top": 8, "width": 30, "height": 22} | changes
    return {"image_size": [{"width": WIDTH, "height": HEIGHT, "depth": 3}], "annotations": [box]}


@pytest.fixture
def data(tmp_path: Path, jpeg: Callable[..., bytes]) -> Callable[[str], Path]:
    """``data("detection")``: four pictures to train on and one to validate, with annotations or masks beside them."""

    def make(task: str) -> Path:
        root = tmp_path / "data"
        for name, count in COUNTS.items():
            for folder in (name, f"{name}_annotation"):
                (root / folder).mkdir(parents=True)
            for number in range(count):
                (root / name / f"{number}.jpg").write_bytes(jpeg(WIDTH, HEIGHT, number + 10 * count))
                path = root / f"{name}_annotation" / str(number)
                if task == "detection":
                    path.with_suffix(".json").write_text(json.dumps(annotation()))
                else:
                    path.with_suffix(".png").write_bytes(mask())
        return root

    return make


def job_of(root: Path, task: str, kind: str = "image/jpeg", mode: str = "File", wrapper: str = "None") -> JobDir:
    names = [name for name in (*COUNTS, *(f"{n}_annotation" for n in COUNTS)) if (root / name).exists()]
    channels = {name: Channel(name, root / name, kind, mode, record_wrapper=wrapper) for name in names}
    return JobDir.create(root.parent / "job", SETTINGS[task], channels)


def ends(task: str, job: JobDir) -> str:
    """The failure note of a job that must end by the customer's mistake."""
    lines: list[str] = []
    with pytest.raises(CustomerError) as caught:
        run_job(find(ALGORITHMS[task]), job, JobLog(echo=lines.append), [UntilBegun()])
    assert lines[-1].endswith(f"] Customer Error: {caught.value}")
    note = job.failure.read_text()
    assert note.startswith("ClientError: ")
    assert note.endswith(", exit code: 2")
    assert "\n" not in note
    return note


def warnings(task: str, job: JobDir) -> list[str]:
    """What a job that trains all the same says it left out."""
    lines: list[str] = []
    with pytest.raises(Begun):
        run_job(find(ALGORITHMS[task]), job, JobLog(echo=lines.append), [UntilBegun()])
    assert not job.failure.exists()
    found = [line.partition("] ")[2] for line in lines if line.split()[2:3] == ["WARNING"]]
    return [text.removeprefix("left out: ") for text in found if text.startswith("left out: ")]


def checked(cli: Cli, root: Path, task: str) -> list[str]:
    """The errors of `clary data check`."""
    code, out, _ = cli("data", "check", root, "--task", task)
    found = [line.removeprefix("error  ") for line in out.splitlines() if line.startswith("error")]
    assert code == (1 if found else 0)
    return found


# One record that cannot be used is left out, by name


def boxed(**changes: Any) -> Spoil:
    return lambda root: (root / "train_annotation/2.json").write_text(json.dumps(annotation(**changes)))


@pytest.mark.parametrize(
    ("task", "spoil", "said"),
    [
        (
            "detection",
            boxed(left=50),
            "train_annotation/2.json: annotation 0 has a box outside its picture of 64x48 pixels, xmin 50 ymin 8 "
            "xmax 80 ymax 30; mend the annotation",
        ),
        (
            "detection",
            boxed(height=-3),
            "train_annotation/2.json: annotation 0 has an inverted box, xmin 10 ymin 8 xmax 40 ymax 5; mend the "
            "annotation",
        ),
        (
            "detection",
            boxed(width=0),
            "train_annotation/2.json: annotation 0 has a box of zero area, xmin 10 ymin 8 xmax 10 ymax 30; mend the "
            "annotation",
        ),
        (
            "detection",
            boxed(class_id=-1),
            "train_annotation/2.json: annotation 0 has the class id -1, which is negative; mend the annotation",
        ),
        (
            "detection",
            boxed(class_id="cat"),
            "train_annotation/2.json: annotation 0 has the class id 'cat', which is not a whole number; mend the "
            "annotation",
        ),
        (
            "detection",
            lambda root: (root / "train_annotation/2.json").write_text('{"annotations": [,]}'),
            "train_annotation/2.json:1:18: is not JSON (Expecting value); mend the annotation or remove it",
        ),
        (
            "segmentation",
            lambda root: (root / "train_annotation/2.png").unlink(),
            "train/2.jpg: has no mask 2.png in train_annotation; add it or remove the picture",
        ),
    ],
    ids=["outside", "inverted", "zero area", "negative class", "class of letters", "no JSON", "no mask"],
)
def test_a_record_is_left_out_and_named_alike(
    task: str, spoil: Spoil, said: str, data: Callable[[str], Path], cli: Cli
) -> None:
    root = data(task)
    spoil(root)
    assert checked(cli, root, task) == [said]
    job = job_of(root, task)
    if task == "segmentation":  # three are left
        path = job.config / "hyperparameters.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"mini_batch_size": "3"}))
    assert warnings(task, job) == [said]


# What ends the job


def masked(content: bytes) -> Spoil:
    return lambda root: (root / "train_annotation/2.png").write_bytes(content)


def rgb() -> bytes:
    return png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def named(root: Path, *names: str) -> None:
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.mark.parametrize(
    ("task", "spoil", "check_says", "job_says"),
    [
        (
            "detection",
            boxed(class_id=7),
            "classes.txt: has 2 names, the records have class ids up to 7, first train_annotation/2.json; add the",
            "train_annotation/2.json: has the class id 7; with num_classes 2 class ids run from 0 to 1",
        ),
        (
            "detection",
            lambda root: (root / "train_annotation/2.json").write_text(
                json.dumps(annotation(left=50) | {"image_size": [{"width": 640, "height": 480, "depth": 3}]})
            ),
            "train/2.jpg (train_annotation/2.json): has a box of dog outside its 64 x 48 pixels, xmin 50",
            "train/2.jpg (train_annotation/2.json): has a box of 1 outside its 64 x 48 pixels, xmin 50 ymin 8 xmax 80",
        ),
        (
            "segmentation",
            masked(mask(1, 24, 32)),
            "train_annotation/2.png: is 32 x 24 pixels, its picture 64 x 48; make both of one size",
            "train_annotation/2.png: is 32 x 24 pixels, its picture 64 x 48; make both of one size",
        ),
        (
            "segmentation",
            masked(rgb()),
            "train_annotation/2.png: is RGB with 8 bits a channel, not a mask of one channel; convert it to a palette",
            "train_annotation/2.png: is RGB with 8 bits a channel, not a mask of one channel; convert it to a palette",
        ),
        (
            "segmentation",
            masked(mask(3)),
            "train_annotation/2.png: has the class id 3, with 3 classes they run from 0 to 2",
            "train_annotation/2.png: has the class id 3, with 3 classes they run from 0 to 2; set num_classes, give a",
        ),
        (
            "segmentation",
            masked(mask()[:90]),
            "train_annotation/2.png: is damaged or truncated (",
            "train_annotation/2.png: is damaged or truncated (",
        ),
        (
            "segmentation",
            lambda root: (root / "train/2.jpg").write_bytes(b"no picture"),
            "train/2.jpg: is not a picture",
            "train/2.jpg: is not a picture",
        ),
    ],
    ids=[
        "unknown class",
        "box of another size",
        "mask of another size",
        "RGB mask",
        "class above",
        "truncated mask",
        "no picture",
    ],
)
def test_the_job_ends_with_the_record(
    task: str, spoil: Spoil, check_says: str, job_says: str, data: Callable[[str], Path], cli: Cli
) -> None:
    root = data(task)
    spoil(root)
    named(root, *("cat", "dog", "fox")[: int(SETTINGS[task]["num_classes"])])
    assert [line for line in checked(cli, root, task) if line.startswith(check_says)]
    assert job_says in ends(task, job_of(root, task))


def test_masks_of_0_and_255_end_a_job_with_the_remedy_and_it_leads_there(data: Callable[[str], Path]) -> None:
    """255 is void by SageMaker's contract: such a job would learn nothing, and say nothing."""
    root = data("segmentation")
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(png(np.where(np.array(Image.open(path)) == 1, 255, 0).astype(np.uint8)))
    job = job_of(root, "segmentation")
    note = ends("segmentation", job)
    assert note.startswith("ClientError: train: shows one class in all its masks, `0`, all others are 255, which is ig")
    assert note.endswith('give a label map: {"map": {"0": 0, "1": 255}}, exit code: 2')
    maps = root / "label_map"
    maps.mkdir()
    for name in COUNTS:
        (maps / f"{name}_label_map.json").write_text('{"map": {"0": 0, "1": 255}}')
    channels = job.channels | {"label_map": Channel("label_map", maps, "application/json")}
    with_map = JobDir.create(root.parent / "mapped", SETTINGS["segmentation"], channels)
    assert warnings("segmentation", with_map) == []


def test_a_misspelt_optional_channel_is_named_in_the_log(data: Callable[[str], Path]) -> None:
    root = data("segmentation")
    (root / "labelmap").mkdir()
    job = job_of(root, "segmentation")
    extra = {"labelmap": Channel("labelmap", root / "labelmap", "application/json")}
    log: list[str] = []
    job = JobDir.create(root.parent / "misspelt", SETTINGS["segmentation"], job.channels | extra)
    with pytest.raises(Begun):
        run_job(find("semantic-segmentation"), job, JobLog(echo=log.append), [UntilBegun()])
    assert any("WARNING" in line and line.endswith("Did you mean label_map?") for line in log)


def test_a_palette_mask_is_its_indices(data: Callable[[str], Path], cli: Cli) -> None:
    """Whatever colours the palette has; a gray mask of the same values is the same."""
    root = data("segmentation")
    image = Image.open(io.BytesIO(mask(2)))
    image.putpalette([255 - n for n in range(256) for _ in range(3)])
    image.save(root / "train_annotation/1.png")
    (root / "train_annotation/2.png").write_bytes(png(np.array(image)))
    assert checked(cli, root, "segmentation") == []
    assert warnings("segmentation", job_of(root, "segmentation")) == []


def test_more_objects_than_label_width_names_the_record(data: Callable[[str], Path]) -> None:
    """12 numbers are a header of two and two objects."""
    root, value = data("detection"), annotation()
    for count, fits in ((2, True), (3, False)):
        (root / "train_annotation/2.json").write_text(json.dumps(value | {"annotations": value["annotations"] * count}))
        if fits:
            assert warnings("detection", job_of(root, "detection")) == []
            continue
        note = ends("detection", job_of(root, "detection"))
        assert note.startswith("ClientError: Invalid parameter value 'label_width'. Please ensure that the value of pa")
        assert "at least 17: train_annotation/2.json has 3 objects" in note


# What the original trains on all the same


def test_a_job_names_and_counts_what_it_trains_on_all_the_same(
    tmp_path: Path, class_folders: Callable[..., Path]
) -> None:
    root = class_folders(tmp_path / "data", {f"{split}/{name}": 4 for split in COUNTS for name in ("cat", "dog")})
    (root / "train/cat/.DS_Store").write_bytes(b"")
    cut = root / "train/cat/0.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    (root / "train/dog/3.jpg").write_bytes((root / "train/cat/3.jpg").read_bytes())
    settings = COMMON | {"num_classes": "2", "mini_batch_size": "8", "image_shape": "3,32,32"}
    job = JobDir.create(tmp_path / "job", settings, {n: Channel(n, root / n, "application/x-image") for n in COUNTS})
    log: list[str] = []
    with pytest.raises(Begun):
        run_job(find("image-classification"), job, JobLog(echo=log.append), [UntilBegun()])
    told = [line.partition("] ")[2] for line in log]
    assert [text[:44] for text in told if text.startswith("used as it is")] == [
        "used as it is: train/cat/0.jpg: is damaged o",
        "used as it is: train/cat/3.jpg: is `cat` her",
    ]
    assert "used as they are: 3 records (2 one picture with several labels, 1 damaged or truncated)" in told
    assert "left out: 1 file or record (1 hidden or no picture)" in told
    assert "pictures used: 8 of train, 8 of validation" in told


def test_a_log_names_a_few_notes_of_a_kind_and_counts_them(tmp_path: Path, encoded: Callable[..., bytes]) -> None:
    for number in range(12):
        for split in COUNTS:
            path = tmp_path / "data" / split / ("cat", "dog")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.open(io.BytesIO(encoded("PNG", seed=number + 50 * len(split)))).convert("L").save(path)
    settings = COMMON | {"num_classes": "2", "mini_batch_size": "8", "image_shape": "3,32,32"}
    channels = {n: Channel(n, tmp_path / "data" / n, "application/x-image") for n in COUNTS}
    log: list[str] = []
    job = JobDir.create(tmp_path / "job", settings, channels)
    with pytest.raises(Begun):
        run_job(find("image-classification"), job, JobLog(echo=log.append), [UntilBegun()])
    assert sum("is grayscale" in line and "note: " in line for line in log) == 3
    assert any(line.endswith("] 24 in all: is grayscale") for line in log)


# RecordIO


GOOD = (2.0, 5.0, 1.0, 0.1, 0.1, 0.6, 0.7)


def records(root: Path, jpeg: Callable[..., bytes], *labels: tuple[float, ...]) -> list[int]:
    """``train.rec`` with a record for each label vector and ``validation.rec`` with one; offsets of the former."""
    root.mkdir()
    framed = [frame(pack(ImageRecord(one, n, jpeg(seed=n), vector=True))) for n, one in enumerate(labels)]
    (root / "train.rec").write_bytes(b"".join(framed))
    (root / "validation.rec").write_bytes(frame(pack(ImageRecord(GOOD, 0, jpeg(seed=99), vector=True))))
    return [sum(map(len, framed[:n])) for n in range(len(framed))]


def records_job(root: Path) -> JobDir:
    """A job on the files of ``root``, each in a folder of its own."""
    channels = root.parent / "channels"
    for name in COUNTS:
        (channels / name).mkdir(parents=True)
        for path in root.glob(f"{name}.*"):
            (channels / name / path.name).write_bytes(path.read_bytes())
    return job_of(channels, "detection", "application/x-recordio")


UNPARSED = "ClientError: Unable to parse record. Please make sure input data is in correct recordio format. "


def test_a_truncated_record_file(tmp_path: Path, jpeg: Callable[..., bytes], cli: Cli) -> None:
    root = tmp_path / "data"
    at = records(root, jpeg, GOOD, GOOD, GOOD)
    path = root / "train.rec"
    path.write_bytes(path.read_bytes()[: at[2] + 100])
    said = f"train.rec record 2 at byte {at[2]}: is cut off: 92 of "
    [error] = checked(cli, root, "detection")
    assert error.startswith(said)
    assert ends("detection", records_job(root)).startswith(f"{UNPARSED}train/{said}")


def test_a_wrong_magic(tmp_path: Path, jpeg: Callable[..., bytes], cli: Cli) -> None:
    root = tmp_path / "data"
    at = records(root, jpeg, GOOD, GOOD, GOOD)
    path = root / "train.rec"
    content = bytearray(path.read_bytes())
    content[at[1] : at[1] + 4] = b"\x0a\x23\xd7\xcf"
    path.write_bytes(content)
    said = f"train.rec record 1 at byte {at[1]}: begins with 0a 23 d7 cf, not with the magic"
    assert checked(cli, root, "detection")[0].startswith(said)
    assert ends("detection", records_job(root)).startswith(f"{UNPARSED}train/{said}")


def test_an_index_that_does_not_match_is_told_by_the_check_and_not_read_by_jobs(
    tmp_path: Path, jpeg: Callable[..., bytes], cli: Cli
) -> None:
    root = tmp_path / "data"
    at = records(root, jpeg, GOOD, GOOD)
    (root / "train.idx").write_text(f"0\t0\n1\t{at[1] + 4}\n")
    assert checked(cli, root, "detection") == [
        f"train.idx:2: has record 1 at byte {at[1] + 4}, in train.rec it is at byte {at[1]}; remove the index, or pack "
        "again"
    ]
    assert warnings("detection", records_job(root)) == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ((1.0,), "Not enough annotation packed in the list file or the RecordIO file. Each object requires at least "),
        ((2.0, 5.0, 0.0, 0.5, 0.1, 0.4, 0.9), "object 0 has an inverted box"),
        ((2.0, 5.0, 0.0, 0.5, 0.1, 0.5, 0.9), "object 0 has a box of zero area"),
        ((2.0, 5.0, 0.0, 0.5, 0.1, 1.5, 0.9), "object 0 has a box outside its picture"),
        ((2.0, 5.0, -1.0, 0.1, 0.1, 0.5, 0.9), "object 0 has the class id -1, which is negative"),
    ],
    ids=["one number", "inverted", "zero area", "outside", "negative class"],
)
def test_label_vectors_are_named_by_record(
    labels: tuple[float, ...], said: str, tmp_path: Path, jpeg: Callable[..., bytes], cli: Cli
) -> None:
    root = tmp_path / "data"
    at = records(root, jpeg, GOOD, labels, GOOD)
    for found, where in (
        (checked(cli, root, "detection"), "train.rec"),
        (warnings("detection", records_job(root)), "train/train.rec"),
    ):
        [error] = found
        assert error.startswith(f"{where} record 1 at byte {at[1]}: ")
        assert said in error


def test_class_id_of_a_record_that_num_classes_does_not_have(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    root = tmp_path / "data"
    at = records(root, jpeg, GOOD, (2.0, 5.0, 4.0, 0.1, 0.1, 0.5, 0.9))
    note = ends("detection", records_job(root))
    assert note.startswith(
        f"ClientError: train/train.rec record 1 at byte {at[1]}: has the class id 4; with num_classes 2 class ids run "
    )


# Augmented manifests


EMPTY = (
    "ClientError: Got empty batch from pipe. Please check if the manifest file contains valid batches and the value of "
    "training job parameter AttributeNames matches attributes names in the augmented manifest. "
)


def streamed(root: Path, task: str, content: bytes) -> JobDir:
    """A job whose two channels send ``content`` through pipes."""
    (root / "streams").mkdir()
    for name in COUNTS:
        (root / "streams" / name).mkdir()
    job = job_of(root / "streams", task, "application/x-recordio", "Pipe", "RecordIO")
    for name in COUNTS:
        if (job.data / name).is_symlink():
            (job.data / name).unlink()
        (job.data / f"{name}_0").write_bytes(content)
    return job


def stream(task: str, order: str, jpeg: Callable[..., bytes]) -> bytes:
    """Records: p a picture, l a label of the task, x text that is no JSON."""
    label = json.dumps(annotation()).encode() if task == "detection" else mask()
    known = {"p": lambda n: jpeg(WIDTH, HEIGHT, n), "l": lambda n: label, "x": lambda n: b"no JSON"}
    return b"".join(frame(known[kind](number)) for number, kind in enumerate(order))


@pytest.mark.parametrize(
    ("task", "order", "said"),
    [
        ("detection", "lplp", "not a picture; AttributeNames must name the picture first"),
        ("detection", "pppp", "Record 1 of the train channel is a picture, not a label in JSON; AttributeNames must "),
        ("detection", "llll", "not a picture; AttributeNames must name the picture first, then its label"),
        ("detection", "p", "The train channel sent a picture and no label; AttributeNames must name"),
        ("segmentation", "lplp", "Record 1 of the train channel is a picture, not a PNG mask; AttributeNames must"),
        ("segmentation", "pppp", "Record 1 of the train channel is a picture, not a PNG mask; AttributeNames must"),
        ("segmentation", "", "The train channel sent no records."),
    ],
)
def test_attribute_names_missing_or_in_another_order(
    task: str, order: str, said: str, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    note = ends(task, streamed(tmp_path, task, stream(task, order, jpeg)))
    assert note.startswith(EMPTY)
    assert said in note


def test_a_stream_that_is_no_records(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    assert ends("detection", streamed(tmp_path, "detection", jpeg())).startswith(f"{UNPARSED}train channel: ")


@pytest.mark.parametrize(
    ("task", "order", "said"),
    [
        ("detection", "plppl", ["record 2: is a picture without a label"]),
        ("detection", "plpxpl", ["record 2: has the label `no JSON`, which is not JSON"]),
        ("detection", "plxpl", ["record 2: is `no JSON`, where a picture was expected"]),
        ("segmentation", "plppl" + "plpl", ["record 2: is a picture without a label"]),
    ],
)
def test_mixed_content_is_left_out_and_named(
    task: str, order: str, said: list[str], tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    found = warnings(task, streamed(tmp_path, task, stream(task, order, jpeg)))
    for name in COUNTS:
        told = [text for text in found if text.startswith(f"{name} channel ")]
        assert [text.partition("; ")[0] for text in told] == [f"{name} channel {one}" for one in said]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"source-ref": "1.jpg", ',
            "train.manifest:2:25: is not JSON (Expecting property name enclosed in double quo",
        ),
        ('{"source-ref": "1.jpg", "bboxes": {}}', "train.manifest:2: has no `boxes`, it has `source-ref`, `bboxes`"),
        ('{"boxes": {"annotations": []}}', "train.manifest:2: has no `source-ref`, it has `boxes`"),
        ('{"source-ref": "1.jpg", "boxes": [1, 2]}', "train.manifest:2: `boxes` is a JSON list, not an object with "),
        (
            '{"source-ref": "9.jpg", "boxes": {}}',
            "train.manifest:2: `source-ref` names `9.jpg`, looked for as `9.jpg`,",
        ),
        (
            json.dumps({"source-ref": "1.jpg", "boxes": annotation(left=60)}),
            "train.manifest:2: `boxes` annotation 0 has a box outside its picture of 64x48 pixels",
        ),
    ],
    ids=["no JSON", "another attribute", "no picture", "another label", "no file", "box outside"],
)
def test_lines_of_a_manifest_are_named(
    line: str, said: str, tmp_path: Path, jpeg: Callable[..., bytes], cli: Cli
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(WIDTH, HEIGHT, number))
    good = [json.dumps({"source-ref": f"{n}.jpg", "boxes": annotation()}) for n in (0, 2)]
    (tmp_path / "train.manifest").write_text(f"{good[0]}\n{line}\n{good[1]}\n")
    [error] = checked(cli, tmp_path, "detection")
    assert error.startswith(said)
