"""What is measured of a model, one file a task, found by scanning this folder."""

from __future__ import annotations

from typing import Any

from clary.local.evaluations._base import Evaluation, Facts, Judge
from clary.registry import Registry

__all__ = ["JUDGES", "Evaluation", "Facts", "Judge"]

JUDGES: Registry[type[Judge[Any]]] = Registry("evaluations", __name__, "JUDGE")
