"""docs/uses.py leaves out no class and no image of the SDK, and names none that there is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.uses import CLASSES, IMAGES

from clary.control.images import repository

from . import clients

KINDS = ("EstimatorBase", "PredictorBase", "Processor", "Transformer", "HyperparameterTuner", "ModelMonitor", "Model")
# Those that others are made of.
BASES = {"EstimatorBase", "PredictorBase", "Framework", "FrameworkModel", "AmazonAlgorithmEstimatorBase"}
BASES |= {"AnalyticsMetricsBase"}


@pytest.fixture(scope="module")
def sdk() -> Path:
    """SDK v2's package."""
    place = clients.location("v2")
    if not clients.is_whole(place):
        pytest.skip(f"{place} is not there; `make clients` makes it")
    (found,) = place.glob("lib/python*/site-packages/sagemaker")
    return found


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")  # of the SDK's own text
def test_every_class_has_its_row(sdk: Path) -> None:
    bases: dict[str, set[str]] = {}
    for name, above in _classes(sdk):  # some are called alike
        bases.setdefault(name, set()).update(above)
    kinds = {*KINDS, "AnalyticsMetricsBase"}
    there = {name for name in bases if kinds & _above(name, bases) and not name.startswith("_")} - BASES
    rows = [name for uses in CLASSES.values() for use in uses for name in use.what.split()]
    assert len(rows) == len({*rows})
    assert {*rows} == there


def test_every_image_has_its_row(sdk: Path) -> None:
    texts = [path.read_text() for path in (sdk / "image_uri_config").glob("*.json")]
    there = {name for text in texts for name in re.findall(r'"repository": "([^"]+)"', text)}
    rows = [repository(image)[0] for image in IMAGES]
    assert len(rows) == len({*rows})
    assert {*rows} == there


def _classes(package: Path) -> Iterator[tuple[str, set[str]]]:
    """Names of classes and of what each is made of. ``serve`` is left out: its predictors ask containers beside it."""
    for path in package.rglob("*.py"):
        if "serve" in path.relative_to(package).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, {ast.unparse(base).rpartition(".")[2] for base in node.bases}


def _above(name: str, bases: dict[str, set[str]]) -> set[str]:
    """The class and all that it is made of, however far."""
    found, left = set(), [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += bases.get(one, ())
    return found
