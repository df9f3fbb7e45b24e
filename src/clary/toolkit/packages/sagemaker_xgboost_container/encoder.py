"""Bodies of requests to matrices, for the input functions of scripts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import xgboost as xgb

__all__ = ["csv_to_dmatrix", "decode", "libsvm_to_dmatrix"]


def csv_to_dmatrix(input: str | bytes, dtype: type | None = None) -> xgb.DMatrix:
    """Rows of features without a label; an empty field is a missing value."""
    rows: Any = np.genfromtxt(io.StringIO(_text(input)), delimiter=",", dtype=dtype or float, ndmin=2)
    return xgb.DMatrix(rows)


def libsvm_to_dmatrix(string_like: str | bytes) -> xgb.DMatrix:
    """Rows ``label index:value ...``."""
    from sklearn.datasets import load_svmlight_file

    features, labels = load_svmlight_file(io.BytesIO(_text(string_like).encode()), zero_based=True)
    return xgb.DMatrix(features, label=labels)


def decode(obj: str | bytes, content_type: str) -> xgb.DMatrix:
    """A matrix of a CSV or LIBSVM body. Raises UnsupportedFormatError for another type."""
    from sagemaker_inference.errors import UnsupportedFormatError

    kind = content_type.partition(";")[0].strip()
    if kind == "text/csv":
        return csv_to_dmatrix(obj)
    if kind in ("text/libsvm", "text/x-libsvm"):
        return libsvm_to_dmatrix(obj)
    raise UnsupportedFormatError(content_type)


def _text(body: str | bytes) -> str:
    return body.decode() if isinstance(body, (bytes, bytearray)) else body
