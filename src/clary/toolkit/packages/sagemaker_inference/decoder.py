"""Bodies of requests to arrays. Source: sagemaker-inference 1.10.1, decoder.py."""

import io
import json
from typing import Any

import numpy as np

from sagemaker_inference import content_types, errors

__all__ = ["decode"]


def decode(obj: Any, content_type: str) -> Any:
    """An array of a JSON, CSV or NPY body. Raises UnsupportedFormatError for another type."""
    if content_type == content_types.NPY:
        return np.load(io.BytesIO(obj), allow_pickle=False)
    if content_type == content_types.JSON:
        return np.array(json.loads(obj))
    if content_type == content_types.CSV:
        text = obj.decode() if isinstance(obj, (bytes, bytearray)) else obj
        return np.genfromtxt(io.StringIO(text), delimiter=",")
    raise errors.UnsupportedFormatError(content_type)
