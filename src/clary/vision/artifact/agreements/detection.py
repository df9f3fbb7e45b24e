"""Detection: the means over the anchors that a prediction shows are held to account.

Of thousands of anchors some are undecided (trained FPN on Lite0, 32 pets, bf16: scores move by up to 0.039, corners by
up to 0.011 of the picture; over the anchors a prediction shows the means are 0.005 and 0.0012).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clary.vision.artifact.agreements._base import Agreement, Outputs

__all__ = ["AGREEMENT"]

SEEN = 0.05  # score from which an anchor's box matters


class DetectionAgreement(Agreement):
    name = "detection"
    bounds = {"score": 0.02, "corner": 0.005}  # noqa: RUF012 - read only

    def measures(self, expected: Outputs, found: Outputs, gaps: Sequence[np.ndarray]) -> dict[str, float]:
        """Means over the anchors that a prediction may show: of the difference of their score, and of their corners."""
        score = expected[1].max(axis=-1)
        # At least the best one, so that the mean is never over nothing.
        seen = score >= min(SEEN, float(score.max()))
        return {"score": float(gaps[1].max(axis=-1)[seen].mean()), "corner": float(gaps[0].max(axis=-1)[seen].mean())}


AGREEMENT = DetectionAgreement()
