from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import DataError, UsageError
from clary.vision import formats
from clary.vision.formats import FORMATS


class TestDetect:
    @pytest.mark.parametrize(
        ("there", "said"),
        [
            (["notes.txt"], "put pictures into a folder for each class"),
            (["a.jpg", "b.jpg"], "put them into a folder for each class"),
            (
                ["JPEGImages/a.jpg"],
                "it is nearest to voc, which needs Annotations/ with an XML file (or SegmentationClass/ with a PNG)",
            ),
            (
                ["JPEGImages/a.jpg", "xml/a.xml"],
                "with an XML file (or SegmentationClass/ with a PNG) for each (is it `xml/a.xml`?)",
            ),
            (
                ["labels.json", "train/a.jpg"],
                "it is nearest to coco, which needs annotations/instances_train.json (is it `labels.json`?)",
            ),
            (["lists/train.lst", "a.jpg"], "give `lists` in it, which is one"),
            (["pets.csv", "a.jpg"], "it is nearest to lst, which needs train.lst (is it `pets.csv`?)"),
            (["packed/deep/a.txt", "x/pets.rec"], "give `x` in it, which is one"),
            (["pets.zip"], "unpack `pets.zip` and give the folder that comes out"),
            (["labels/a.txt"], "it is nearest to yolo, which needs images/ with the pictures"),
            (["train_annotation/a.json"], "it is nearest to sagemaker-json, which needs train/ with the pictures"),
            (["data/train.manifest"], "give `data` in it, which is one"),
        ],
    )
    def test_an_unknown_folder_is_told_what_it_lacks(self, there: list[str], said: str, tmp_path: Path) -> None:
        for name in there:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        with pytest.raises(DataError) as caught:
            # As folders of classes these would pass; the question here is what the others lack.
            formats.detect(tmp_path)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path}: ")
        assert said in message
        assert message.endswith("; `clary data layouts` draws them all")
        assert "\n" not in message
        assert len(message) - len(str(tmp_path)) < 300

    def test_pictures_alone_may_become_several(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        with pytest.raises(DataError, match=r"nearest to masks, which needs masks/.*, or to oxford.*, or to yolo"):
            formats.detect(tmp_path)

    @pytest.mark.parametrize("layout", FORMATS.names())
    def test_every_layout_has_a_tree_and_knows_its_parts(self, layout: str) -> None:
        format = FORMATS.get(layout)
        lines = format.tree.split("\n")
        assert lines[0].startswith("ROOT/")
        assert len(lines) > 2
        assert max(map(len, lines)) <= 118
        assert format.needs or layout == "folder"

    def test_a_path_that_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "pets.tar.gz").touch()
        (tmp_path / "empty").mkdir()
        for name, said in (
            ("pets.tar.gz", "is a file, not a folder"),
            ("missing", "does not exist"),
            ("empty", "is empty"),
        ):
            with pytest.raises(DataError, match=said):
                formats.read(tmp_path / name)

    def test_two_layouts_in_one_folder(self, tmp_path: Path, class_folders: Callable[..., Path]) -> None:
        class_folders(tmp_path, {"images": 1})
        (tmp_path / "annotations").mkdir()
        (tmp_path / "annotations/trainval.txt").touch()
        (tmp_path / "train.lst").touch()
        with pytest.raises(DataError, match="could be read as lst and oxford"):
            formats.read(tmp_path)

    def test_a_string_will_do(self, tmp_path: Path, class_folders: Callable[..., Path]) -> None:
        class_folders(tmp_path, {"cat": 1, "dog": 1})
        assert formats.read(str(tmp_path)).root == tmp_path

    def test_an_unknown_name_is_met_with_the_closest(self) -> None:
        with pytest.raises(UsageError, match="`folder`"):
            FORMATS.get("folders")


def test_no_tensor_library_is_loaded() -> None:
    heavy = "{'torch', 'torchvision', 'timm', 'matplotlib', 'openvino', 'onnxruntime'}"
    script = f"import sys; from clary.vision.formats import FORMATS; FORMATS.names(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
