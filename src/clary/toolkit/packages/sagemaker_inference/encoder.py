"""Arrays to bodies of answers. Source: sagemaker-inference 1.10.1, encoder.py."""

import io
import json
from typing import Any

import numpy as np

from sagemaker_inference import content_types, errors

__all__ = ["encode"]


def encode(array_like: Any, content_type: str) -> Any:
    """A JSON, CSV or NPY body. Raises UnsupportedFormatError for another type."""
    if content_type == content_types.NPY:
        stream = io.BytesIO()
        np.save(stream, array_like)
        return stream.getvalue()
    if content_type == content_types.JSON:
        return json.dumps(array_like, default=lambda value: value.tolist() if hasattr(value, "tolist") else repr(value))
    if content_type == content_types.CSV:
        text = io.StringIO()
        np.savetxt(text, array_like, delimiter=",", fmt="%s")
        return text.getvalue()
    raise errors.UnsupportedFormatError(content_type)
