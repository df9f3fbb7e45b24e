"""What a report says."""

from __future__ import annotations

from typing import Any

from clary.local.sections import Section
from clary_brightness.evaluation import BrightnessEvaluation


class BrightnessSection(Section[BrightnessEvaluation]):
    name = "brightness"
    package = "clary_brightness"
    template = "brightness.html.j2"

    def spelled(self, value: float) -> str:
        return f"\N{PLUS-MINUS SIGN}{value:.3f}"

    def results(self, evaluation: BrightnessEvaluation) -> dict[str, Any]:
        return {"largest": evaluation.metrics["largest_error"]}


SECTION = BrightnessSection()
