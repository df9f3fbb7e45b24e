"""Bodies of requests to arrays. Source: sagemaker-inference 1.10.1, decoder.py."""

import io
import json
from collections.abc import Callable
from typing import Any

from sagemaker_inference import content_types, errors

__all__ = ["SUPPORTED_CONTENT_TYPES", "decode"]


def decode(obj: Any, content_type: str) -> Any:
    """An array of a JSON, CSV or NPY body, a sparse matrix of an NPZ. Raises UnsupportedFormatError for another type.

    Unlike the toolkit's, object arrays are refused: their pickles are programs, and a body may come from anybody.
    """
    try:
        decoder = _DECODERS[content_type]
    except KeyError:
        raise errors.UnsupportedFormatError(content_type) from None
    return decoder(obj)


def _npy_to_numpy(npy_array: Any) -> Any:
    import numpy as np  # where the user's environment has it

    return np.load(io.BytesIO(npy_array), allow_pickle=False)


def _npz_to_sparse(npz_bytes: Any) -> Any:
    import scipy.sparse  # where the user's environment has it

    return scipy.sparse.load_npz(io.BytesIO(npz_bytes))


def _json_to_numpy(string_like: Any, dtype: Any = None) -> Any:
    import numpy as np  # where the user's environment has it

    return np.array(json.loads(string_like), dtype=dtype)


def _csv_to_numpy(string_like: Any, dtype: Any = None) -> Any:
    import numpy as np  # where the user's environment has it

    text = string_like.decode() if isinstance(string_like, (bytes, bytearray)) else string_like
    return np.genfromtxt(io.StringIO(text), dtype=dtype if dtype is not None else float, delimiter=",")


_DECODERS: dict[str, Callable[[Any], Any]] = {
    content_types.NPY: _npy_to_numpy,
    content_types.CSV: _csv_to_numpy,
    content_types.JSON: _json_to_numpy,
    content_types.NPZ: _npz_to_sparse,
}
SUPPORTED_CONTENT_TYPES = set(_DECODERS)
