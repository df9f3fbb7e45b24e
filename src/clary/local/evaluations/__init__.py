"""What is measured of a model, one file a task, found by scanning this folder."""

from __future__ import annotations

from typing import Any

from clary.local.evaluations._base import Evaluation, EvaluationContext, Evaluator
from clary.registry import Registry

__all__ = ["EVALUATORS", "Evaluation", "EvaluationContext", "Evaluator"]

EVALUATORS: Registry[type[Evaluator[Any]]] = Registry("evaluations", __name__, "EVALUATOR")
