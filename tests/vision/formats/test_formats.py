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
    def test_an_unknown_folder_is_told_the_layouts(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        with pytest.raises(DataError) as caught:
            formats.read(tmp_path)
        message = str(caught.value)
        assert message.startswith(
            f"{tmp_path}: is no data set of a layout known here; the layouts are augmented-manifest ("
        )
        assert all(f"{format.name} ({format.layout})" in message for format in FORMATS)
        assert "\n" not in message

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
