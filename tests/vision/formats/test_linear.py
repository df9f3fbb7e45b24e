"""Four times the input takes about four times the time, whatever a file says.

In time of this process's own, the least of several tries, and with room: what is quadratic takes sixteen times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clary.errors import DataError
from clary.vision import formats
from clary.vision.base.recordio import scan
from clary.vision.formats._classes import read_class_names
from clary.vision.formats._files import distinct_name
from clary.vision.formats._voc import read_objects
from clary.vision.formats._wording import several
from clary.vision.formats._yaml_names import names_in
from clary.vision.formats.lst import read_lst
from clary.vision.formats.yolo import FORMAT as YOLO

Work = Callable[[], object]
MOST = 9.0  # times as long for four times as much


def seconds(work: Work) -> float:
    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(3))


def assert_linear(make: Callable[[int], Work], count: int) -> None:
    small, large = seconds(make(count)), seconds(make(4 * count))
    # 5 ms: below that a clock tick decides.
    assert large < MOST * max(small, 0.005), f"{small:.3f} s for {count}, {large:.3f} s for {4 * count}"


YAML = {
    "in brackets": lambda n: "names: [" + ", ".join(f"c{i}" for i in range(n)) + "]",
    "in quotes": lambda n: "names: [" + ", ".join(f'"c{i}"' for i in range(n)) + "]",
    "in braces": lambda n: "names: {" + ", ".join(f"{i}: c{i}" for i in range(n)) + "}",
    "of one line": lambda n: "names:\n" + "".join(f"  {i}: c{i}\n" for i in range(n)),
    "of blanks": lambda n: "names: [a" + " " * 10 * n + "b, c]",
    "of quotes": lambda n: "names: [" + "'" * 2 * n + ", c]",
    "without an end": lambda n: "names: ['a, " + "b, " * n,
    "with commas alone": lambda n: "names: [" + "," * n + "a]",
}


@pytest.mark.parametrize("text", YAML.values(), ids=YAML)
def test_names_of_a_data_yaml(text: Callable[[int], str]) -> None:
    def make(count: int) -> Work:
        lines = [(number, line) for number, line in enumerate(text(count).split("\n"), start=1) if line]

        def work() -> None:
            try:
                names_in(lines, "data.yaml")
            except DataError:
                return

        return work

    assert_linear(make, 4000)


@pytest.mark.parametrize("names", [None, "few", "many"])
def test_objects_of_a_voc_annotation(names: str | None, tmp_path: Path) -> None:
    known = {None: None, "few": ["cat"], "many": [f"c{i}" for i in range(5000)]}[names]

    def make(count: int) -> Work:
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        path = tmp_path / f"{count}.xml"
        size = "<size><width>10</width><height>10</height></size>"
        path.write_text(f"<annotation>{f'<object><name>dog</name>{box}</object>' * count}{size}</annotation>")
        return lambda: read_objects(path, "a.xml", known)

    assert_linear(make, 700)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_categories_and_annotations_of_coco(task: str, known: bool, tmp_path: Path) -> None:
    def make(count: int) -> Work:
        root = tmp_path / str(count)
        (root / "annotations").mkdir(parents=True)
        (root / "train").mkdir()
        (root / "train" / "a.jpg").touch()
        value = {
            "categories": [{"id": i, "name": f"c{i}"} for i in range(count)],
            "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
            "annotations": [
                {
                    "id": i,
                    "image_id": 1,
                    "category_id": i % count if known else -1,
                    "bbox": [1, 1, 2, 2],
                    "segmentation": [[1, 1, 3, 1, 3, 3]],
                }
                for i in range(count)
            ],
        }
        (root / "annotations" / "instances_train.json").write_text(json.dumps(value))
        return lambda: formats.read(root, task=task)

    assert_linear(make, 1000)


def test_class_names_of_a_list(tmp_path: Path) -> None:
    def make(count: int) -> Work:
        (tmp_path / "classes.txt").write_text("".join(f"c{i}\n" for i in range(count)))
        return lambda: read_class_names(tmp_path)

    assert_linear(make, 3000)


def test_names_of_pictures_that_are_all_alike() -> None:
    def make(count: int) -> Work:
        def work() -> None:
            taken: dict[str, int] = {}
            assert len({distinct_name("image.jpg", taken) for _ in range(count)}) == count

        return work

    assert_linear(make, 2000)


def test_lines_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()

    def make(count: int) -> Work:
        path = tmp_path / f"{count}.lst"
        path.write_text("".join(f"{i}\t{i % 7}\ta.jpg\n" for i in range(count)))
        return lambda: read_lst(path, tmp_path)

    assert_linear(make, 3000)


def test_damaged_records(tmp_path: Path) -> None:
    def make(count: int) -> Work:
        path = tmp_path / f"{count}.rec"
        # Each promises more than the file holds.
        path.write_bytes((b"\x0a\x23\xd7\xce" + b"\xff\xff\xff\x1f") * count)
        return lambda: scan(path)

    assert_linear(make, 5000)


@pytest.mark.parametrize("flag", [1, 2], ids=["first", "middle"])
def test_records_in_parts_that_never_end(flag: int, tmp_path: Path) -> None:
    def make(count: int) -> Work:
        path = tmp_path / f"{count}.rec"
        part = b"\x0a\x23\xd7\xce" + (flag << 29).to_bytes(4, "little")
        path.write_bytes(b"\x0a\x23\xd7\xce" + (1 << 29).to_bytes(4, "little") + part * count)
        return lambda: scan(path)

    assert_linear(make, 3000)


def test_a_text_file_a_picture(tmp_path: Path) -> None:
    def make(count: int) -> Work:
        root = tmp_path / str(count)
        for name in ("images", "labels"):
            (root / name).mkdir(parents=True)
        (root / "images" / "a.png").write_bytes(
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x40\x08\x02\0\0\0" + bytes(8)
        )
        (root / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n9 9\n" * count)
        return lambda: YOLO.read(root)

    assert_linear(make, 1500)


def test_a_message_looks_at_few_of_many_names() -> None:
    class Many:
        looked = 0

        def __len__(self) -> int:
            return 10**9

        def __iter__(self) -> Iterator[str]:
            while True:
                self.looked += 1
                yield "name"

    many = Many()
    assert several(many, 2) == "name, name and 999999998 more"
    assert many.looked == 2


def test_two_hundred_thousand_categories_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    value = {"categories": [{"id": i, "name": f"c{i}"} for i in range(200_000)], "images": [], "annotations": []}
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(value))
    found = formats.read(tmp_path, task="detection")
    assert [str(p) for p in found.problems if "categories" in p.what] == [
        "annotations/instances_train.json: has 200,000 categories, 100,000 are taken; leave out those without a box"
    ]


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000], ids=["lists", "objects"])
@pytest.mark.parametrize("file", ["annotations/instances_train.json", "train.manifest", "train_annotation/a.json"])
def test_json_in_depth_is_one_line(text: str, file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    if "train_annotation" in file:
        (tmp_path / "train").mkdir()
        (tmp_path / "train" / "a.jpg").touch()
    problems = formats.read(tmp_path).problems
    assert any("is not JSON" in problem.what for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY e0 "boom">'
        + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
        + "]><annotation>&e11;</annotation>",
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><object><name>&e;</name></object></annotation>',
        "<a>" * 50_000,
        '<?xml version="1.0" encoding="utf-7"?><annotation/>',
        '<?xml version="1.0" encoding="poetry"?><annotation/>',
    ],
    ids=["bomb", "file", "deep", "utf-7", "unknown encoding"],
)
def test_xml_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=r"^a\.xml") as caught:
        read_objects(tmp_path / "a.xml", "a.xml")
    assert "\n" not in str(caught.value)
