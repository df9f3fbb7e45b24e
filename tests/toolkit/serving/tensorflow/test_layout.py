"""Which folders of the model data are models."""

from __future__ import annotations

from pathlib import Path

import pytest

from clary.errors import CustomerError
from clary.toolkit.serving.tensorflow.layout import find_models


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


@pytest.mark.parametrize(
    ("paths", "models"),
    [
        (["1/saved_model.pb"], {"model": {1: "1"}}),
        (["model/1/saved_model.pb"], {"model": {1: "model/1"}}),
        (["export/Servo/1700000000/saved_model.pb"], {"Servo": {1700000000: "export/Servo/1700000000"}}),
        (["a/00000002/saved_model.pb", "a/10/saved_model.pb"], {"a": {2: "a/00000002", 10: "a/10"}}),
        (["b/1/saved_model.pb", "a/1/saved_model.pb"], {"a": {1: "a/1"}, "b": {1: "b/1"}}),
        # Nothing else counts beside one that does.
        (["a/1/saved_model.pb", "b/saved_model.pb", "c.keras"], {"a": {1: "a/1"}}),
    ],
)
def test_as_the_image_finds_them(tmp_path: Path, paths: list[str], models: dict[str, dict[int, str]]) -> None:
    found = find_models(write(tmp_path, *paths))
    assert not found.ours
    expected = {name: {n: tmp_path / path for n, path in versions.items()} for name, versions in models.items()}
    assert found.models == expected
    assert list(found.models) == list(models)


@pytest.mark.parametrize(
    ("paths", "name", "path"),
    [
        (["saved_model.pb"], "model", "."),
        (["net/saved_model.pb", "net.h5"], "net", "net"),
        (["net.keras"], "net", "net.keras"),
        (["deep/net.h5"], "net", "deep/net.h5"),
    ],
)
def test_what_only_clary_serves(tmp_path: Path, paths: list[str], name: str, path: str) -> None:
    found = find_models(write(tmp_path, *paths))
    assert found.ours
    assert found.models == {name: {1: tmp_path / path}}


def test_none_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(CustomerError, match=r"no SavedModel bundles found!; .*; it is empty"):
        find_models(tmp_path)
    write(tmp_path, "model.pth", "code/inference.py")
    with pytest.raises(CustomerError, match=r"it holds code/inference.py, model.pth"):
        find_models(tmp_path)


def test_two_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(CustomerError, match="two models are called m: a/m and b/m; rename one"):
        find_models(write(tmp_path, "a/m/1/saved_model.pb", "b/m/1/saved_model.pb"))
