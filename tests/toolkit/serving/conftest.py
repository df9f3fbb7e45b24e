from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .models import models


@pytest.fixture
def make_model(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """``make_model({"inference.py": text}, {"model.pt": content})``: a model folder; what is loaded is forgotten."""
    with models(tmp_path) as make:
        yield make


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """Loading a service freezes what there is, which is for a process of its own."""
    yield
    gc.unfreeze()
