"""Outcomes of precision trials: kept where the variable says, and only when they are clear."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from clary.vision.training import precision
from clary.vision.training.precision import choose, trial_size
from clary.vision.training.precision_cache import MOST, PrecisionCache

CLEAR = {"bf16": 1.0, "fp32": 3.0}
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLARY_PRECISION_CACHE", str(tmp_path / "trials.json"))
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    return tmp_path / "trials.json"


class Steps:
    """Steps that cost what is said, by a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        self.now, self.seconds, self.taken = 0.0, seconds, 0
        monkeypatch.setattr("clary.vision.training.precision.time.perf_counter", lambda: self.now)

    def __call__(self, network: nn.Module, kind: str) -> None:
        self.now += self.seconds[kind]
        self.taken += 1


@pytest.mark.parametrize(("bf16", "expected"), [(1.0, "bf16"), (9.0, "fp32")])
def test_a_clear_outcome_is_not_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, bf16: float, expected: str
) -> None:
    network = nn.Linear(3, 2)
    steps = Steps(monkeypatch, bf16=bf16, fp32=3.0)
    assert choose("auto", network, steps, CPU, PrecisionCache.of(network, (3,))) == expected
    taken = steps.taken
    assert choose("auto", nn.Linear(3, 2), steps, CPU, PrecisionCache.of(nn.Linear(3, 2), (3,))) == expected
    assert steps.taken == taken


def test_a_close_outcome_is_tried_twice(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(3, 2)
    steps = Steps(monkeypatch, bf16=1.0, fp32=1.1)
    found = [choose("auto", network, steps, CPU, PrecisionCache.of(network, (3,))) for _ in range(4)]
    assert found == ["bf16"] * 4
    assert steps.taken == 2 * 6


def test_the_least_seconds_decide(file: Path) -> None:
    trials = PrecisionCache.of(nn.Linear(3, 2), (3,))
    assert trials.add({"bf16": 1.2, "fp32": 1.0}) == "fp32"  # bf16 was disturbed
    assert trials.recall() == ""
    assert trials.add({"bf16": 0.4, "fp32": 1.1}) == "bf16"
    assert trials.recall() == "bf16"


def test_another_network_or_size_is_another_matter(file: Path) -> None:
    PrecisionCache.of(nn.Linear(3, 2), (3,)).add(CLEAR)
    assert PrecisionCache.of(nn.Linear(3, 2), (3,)).recall() == "bf16"
    assert PrecisionCache.of(nn.Linear(3, 2), (4,)).recall() == ""
    assert PrecisionCache.of(nn.Linear(3, 3), (3,)).recall() == ""
    assert PrecisionCache.of(nn.Linear(3, 2).requires_grad_(False), (3,)).recall() == ""


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', "\xff", '{"KEY": {"bf16": "x"}}', '{"KEY": {"bf16": 1.0}}']
)
def test_a_file_that_is_none_of_ours_is_no_knowledge(file: Path, text: str) -> None:
    found = PrecisionCache.of(nn.Linear(3, 2), (3,))
    file.write_text(text.replace("KEY", found.key), encoding="latin-1")
    assert found.recall() == ""
    assert found.add(CLEAR) == "bf16"
    assert found.recall() == "bf16"


def test_without_the_variable_nothing_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLARY_PRECISION_CACHE")
    found = PrecisionCache.of(nn.Linear(3, 2), (3,))
    assert found.add(CLEAR) == "bf16"
    assert found.recall() == ""


def test_the_file_does_not_grow_for_ever(file: Path) -> None:
    file.write_text("{" + ",".join(f'"k{n}": {{"bf16": 1.0, "fp32": 2.0}}' for n in range(MOST + 50)) + "}")
    PrecisionCache(file, "last").add(CLEAR)
    assert PrecisionCache(file, "last").recall() == "bf16"
    assert PrecisionCache(file, "k0").recall() == ""
    assert PrecisionCache(file, f"k{MOST}").recall() == "bf16"


def test_a_place_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert PrecisionCache(tmp_path / "file" / "trials.json", "key").add(CLEAR) == "bf16"


def test_a_few_pictures_are_enough_on_a_cpu() -> None:
    assert [trial_size(count, CPU) for count in (1, 3, 8, 32)] == [2, 2, 4, 4]
    assert trial_size(32, CUDA) == 16
