from __future__ import annotations

import pytest

from clary.vision.formats import FORMATS, Format

from .contract import FormatContract


class TestEveryFormat(FormatContract):
    @pytest.fixture(params=list(FORMATS), ids=lambda format: format.name)
    def format(self, request: pytest.FixtureRequest) -> Format:
        chosen: Format = request.param
        return chosen
