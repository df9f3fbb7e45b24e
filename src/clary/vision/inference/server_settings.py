"""What the environment tells a serving program. Source: SageMaker developer guide, "Use your own inference code"."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clary.errors import UsageError
from clary.vision.inference.predictor import PRECISIONS

__all__ = ["PRECISION_VARIABLE", "ServerSettings"]

PRECISION_VARIABLE = "SAGEMAKER_MODEL_PRECISION"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``max_payload`` is in MiB, 0: no limit (SAGEMAKER_MAX_PAYLOAD_IN_MB, 6 unless set, as SageMaker's endpoints).

    ``batch`` says that a batch transform job asks (SAGEMAKER_BATCH); ``strategy`` and ``concurrent`` are what
    GET /execution-parameters answers, None: the program's own choice. ``precision`` is that of ``predictor.load``
    (SAGEMAKER_MODEL_PRECISION, an extension).
    """

    max_payload: int = 6
    batch: bool = False
    strategy: str = "SINGLE_RECORD"
    concurrent: int | None = None
    precision: str = "auto"

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> ServerSettings:
        """Read ``variables``, os.environ by default. Raises UsageError naming the variable that cannot be used."""
        environment = os.environ if variables is None else variables
        concurrent = _number(environment, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 0)
        return cls(
            max_payload=_number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", cls().max_payload),
            # The platform writes `true`, SDK v2's local mode `True`.
            batch=environment.get("SAGEMAKER_BATCH", "").strip().lower() == "true",
            strategy=environment.get("SAGEMAKER_BATCH_STRATEGY", "").strip() or cls().strategy,
            concurrent=concurrent or None,
            precision=_precision(environment),
        )

    def execution_parameters(self, concurrent: int) -> dict[str, Any]:
        """The answer of GET /execution-parameters; ``concurrent`` where the environment asks for none."""
        return {
            "MaxConcurrentTransforms": self.concurrent or concurrent,
            "BatchStrategy": self.strategy,
            "MaxPayloadInMB": self.max_payload,
        }


def _precision(environment: Mapping[str, str]) -> str:
    text = environment.get(PRECISION_VARIABLE, "").strip()
    if text and text not in PRECISIONS:
        hint = f"set it to {' or '.join(PRECISIONS)}, or not at all"
        raise UsageError(f"is {ascii(text)[:60]}", where=PRECISION_VARIABLE, hint=hint)
    return text or ServerSettings().precision


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    # int() would also take signs, blanks, underscores and the digits of other scripts.
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(
            f"is {ascii(text)[:60]}, not a whole number", where=name, hint="set it to a number or not at all"
        )
    return int(text)
