from __future__ import annotations

import pytest

from clary.vision.base.types import Task
from clary.vision.formats import FORMATS, Format

from .contract import FormatContract

CASES = [(format, task) for format in FORMATS for task in sorted(format.written_for)]


class TestEveryFormat(FormatContract):
    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
    def case(self, request: pytest.FixtureRequest) -> tuple[Format, Task]:
        chosen: tuple[Format, Task] = request.param
        return chosen

    @pytest.fixture
    def format(self, case: tuple[Format, Task]) -> Format:
        return case[0]

    @pytest.fixture
    def task(self, case: tuple[Format, Task]) -> Task:
        return case[1]
