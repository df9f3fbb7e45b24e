"""OpenMP's threads do not burn the processor while they wait."""

from __future__ import annotations

import os

import pytest

from clary.vision.base.waiting import spin_less, waiting


def test_it_is_set_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    spin_less()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"


def test_the_users_word_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    spin_less()
    assert waiting() == {"GOMP_SPINCOUNT": "7"} == {"GOMP_SPINCOUNT": os.environ["GOMP_SPINCOUNT"]}
