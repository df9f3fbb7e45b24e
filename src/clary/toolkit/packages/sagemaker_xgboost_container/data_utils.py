"""Channels to matrices: the label is the first column, with ``csv_weights`` the weight the second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

__all__ = ["get_content_type", "get_dmatrix"]

_KINDS = {
    **dict.fromkeys(("csv", "text/csv"), "csv"),
    **dict.fromkeys(("libsvm", "text/libsvm", "text/x-libsvm"), "libsvm"),
    **dict.fromkeys(("parquet", "application/x-parquet"), "parquet"),
}


def get_content_type(content_type: str | None) -> str:
    """``csv``, ``libsvm`` or ``parquet``. Raises ValueError for any other type."""
    named = "libsvm" if content_type is None else content_type.lower().partition(";")[0].strip()
    if named not in _KINDS:
        raise ValueError(f"{content_type} is not an accepted ContentType here: csv, libsvm, parquet")
    return _KINDS[named]


def get_dmatrix(
    data_path: str | Sequence[str] | None,
    content_type: str | None,
    csv_weights: int = 0,
    is_pipe: bool = False,
) -> xgb.DMatrix | None:
    """The matrix of all files below ``data_path``; None without any. Raises ValueError for a pipe or another type."""
    if is_pipe:
        raise ValueError("pipes are not read here: give the channel the input mode File")
    named = [data_path] if isinstance(data_path, (str, Path)) else data_path or []
    files = sorted(file for path in named for file in _files(Path(path)))
    if not files:
        return None
    kind = get_content_type(content_type)
    if kind == "libsvm":
        return _libsvm(files)
    rows = np.vstack([_read(file, kind) for file in files])
    weights = {"weight": rows[:, 1]} if csv_weights == 1 else {}
    return xgb.DMatrix(rows[:, 2 if weights else 1 :], label=rows[:, 0], **weights)


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else path.rglob("*")
    return [file for file in found if file.is_file() and not file.name.startswith((".", "_"))]


def _read(file: Path, kind: str) -> Any:
    import pandas as pd

    if kind == "parquet":
        return pd.read_parquet(file).to_numpy()
    # The delimiter is looked for, as in the image.
    return pd.read_csv(file, header=None, sep=None, engine="python").to_numpy(dtype=float)


def _libsvm(files: Sequence[Path]) -> xgb.DMatrix:
    from scipy.sparse import vstack
    from sklearn.datasets import load_svmlight_files

    # XGBoost's own reader of text is gone; this one gives all files the same number of columns. Counted from 0, as
    # XGBoost counts: a column more than the file names says nothing.
    read = load_svmlight_files([str(file) for file in files], zero_based=True)
    return xgb.DMatrix(vstack(read[0::2]).tocsr(), label=np.concatenate(read[1::2]))
