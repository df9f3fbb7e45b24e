"""Classification: every score is held to account. Those of EfficientNet-Lite0 trained on pets move by 0.005 to 0.012 in
bf16."""

from __future__ import annotations

from clary.vision.artifact.agreements._base import Agreement

__all__ = ["AGREEMENT"]


class ClassificationAgreement(Agreement):
    name = "classification"


AGREEMENT = ClassificationAgreement()
