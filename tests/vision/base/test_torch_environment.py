"""Variables that torch reads when it is loaded."""

from __future__ import annotations

import os

import pytest

from clary.vision.base.torch_environment import set_torch_environment, torch_environment

NAMES = ("GOMP_SPINCOUNT",)


def test_they_are_set_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    set_torch_environment()
    assert [os.environ[name] for name in NAMES] == ["3000"]


def test_the_users_word_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "0")
    set_torch_environment()
    assert set(torch_environment().values()) == {"0"} == {os.environ[name] for name in NAMES}
