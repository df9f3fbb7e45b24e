"""What a report says."""

from __future__ import annotations

from clary.local.sections import Section
from clary_brightness.evaluation import BrightnessEvaluation


class BrightnessSection(Section[BrightnessEvaluation]):
    name = "brightness"

    def spelled(self, value: float) -> str:
        return f"\N{PLUS-MINUS SIGN}{value:.3f}"


SECTION = BrightnessSection()
