"""Arrays to bodies of answers. Source: sagemaker-inference 1.10.1, encoder.py."""

import io
import json
from typing import Any

from sagemaker_inference import content_types, errors

__all__ = ["SUPPORTED_CONTENT_TYPES", "encode"]


def encode(array_like: Any, content_type: str) -> Any:
    """A JSON, CSV or NPY body. Raises UnsupportedFormatError for another type."""
    try:
        encoder = _ENCODERS[content_type]
    except KeyError:
        raise errors.UnsupportedFormatError(content_type) from None
    return encoder(array_like)


def _array_to_npy(array_like: Any) -> bytes:
    import numpy as np  # where the user's environment has it

    stream = io.BytesIO()
    np.save(stream, array_like)
    return stream.getvalue()


def _array_to_json(array_like: Any) -> str:
    return json.dumps(array_like, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return json.JSONEncoder().default(value)


def _array_to_csv(array_like: Any) -> str:
    import numpy as np  # where the user's environment has it

    stream = io.StringIO()
    np.savetxt(stream, array_like, delimiter=",", fmt="%s")
    return stream.getvalue()


_ENCODERS = {
    content_types.NPY: _array_to_npy,
    content_types.CSV: _array_to_csv,
    content_types.JSON: _array_to_json,
}
SUPPORTED_CONTENT_TYPES = set(_ENCODERS)
