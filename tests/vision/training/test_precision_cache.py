"""Outcomes of precision trials, kept where the variable says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from clary.vision.training.precision_cache import MOST, Choice, PrecisionCache

FOUND = Choice("fp32", "1.50 times as fast as bf16 in 5 pairs of steps")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLARY_PRECISION_CACHE", str(tmp_path / "trials.json"))
    return tmp_path / "trials.json"


def test_another_network_or_size_is_another_matter(file: Path) -> None:
    PrecisionCache.of(nn.Linear(3, 2), (3,)).keep(FOUND)
    assert PrecisionCache.of(nn.Linear(3, 2), (3,)).recall() == FOUND
    assert PrecisionCache.of(nn.Linear(3, 2), (4,)).recall() is None
    assert PrecisionCache.of(nn.Linear(3, 3), (3,)).recall() is None
    assert PrecisionCache.of(nn.Linear(3, 2).requires_grad_(False), (3,)).recall() is None
    assert PrecisionCache.of(nn.Linear(3, 2), (3,), "folded norms").recall() is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", '{"a": 1}', "\xff", '{"KEY": 1}', '{"KEY": {"precision": "bf16"}}'),
        '{"KEY": {"precision": "int4", "reason": "x"}}',
        '{"KEY": {"bf16": 1.0, "fp32": 3.0, "trials": 1}}',  # as 0.1.0 wrote it
    ],
)
def test_a_file_that_is_none_of_ours_is_no_knowledge(file: Path, text: str) -> None:
    found = PrecisionCache.of(nn.Linear(3, 2), (3,))
    file.write_text(text.replace("KEY", found.key), encoding="latin-1")
    assert found.recall() is None
    found.keep(FOUND)
    assert found.recall() == FOUND


def test_without_the_variable_nothing_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLARY_PRECISION_CACHE")
    found = PrecisionCache.of(nn.Linear(3, 2), (3,))
    found.keep(FOUND)
    assert found.recall() is None


def test_the_file_does_not_grow_for_ever(file: Path) -> None:
    entry = json.dumps(FOUND._asdict())
    file.write_text("{" + ",".join(f'"k{n}": {entry}' for n in range(MOST + 50)) + "}")
    PrecisionCache(file, "last").keep(FOUND)
    assert PrecisionCache(file, "last").recall() == FOUND
    assert PrecisionCache(file, "k0").recall() is None
    assert PrecisionCache(file, f"k{MOST}").recall() == FOUND


def test_a_place_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    PrecisionCache(tmp_path / "file" / "trials.json", "key").keep(FOUND)
    assert PrecisionCache(tmp_path / "file" / "trials.json", "key").recall() is None
