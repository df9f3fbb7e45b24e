from __future__ import annotations

import pytest

from clary.vision.base.types import TaskName
from clary.vision.formats import FORMATS, Format

from .contract import FormatContract

CASES = [(format, task) for format in FORMATS for task in sorted(format.written_for)]


class TestEveryFormat(FormatContract):
    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
    def case(self, request: pytest.FixtureRequest) -> tuple[Format, TaskName]:
        chosen: tuple[Format, TaskName] = request.param
        return chosen

    @pytest.fixture
    def format(self, case: tuple[Format, TaskName]) -> Format:
        return case[0]

    @pytest.fixture
    def task(self, case: tuple[Format, TaskName]) -> TaskName:
        return case[1]
