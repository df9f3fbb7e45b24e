"""XGBoost's image."""

from __future__ import annotations

from clary.toolkit.serving.scikit_learn import load_xgboost as load

__all__ = ["load"]
