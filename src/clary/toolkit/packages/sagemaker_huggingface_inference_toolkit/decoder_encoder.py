"""Bodies to what a pipeline takes, and back.

Source: sagemaker-huggingface-inference-toolkit 2.4, decoder_encoder.py.
"""

import base64
import csv
import io
import json
from typing import Any

from sagemaker_huggingface_inference_toolkit import content_types
from sagemaker_inference import decoder, encoder, errors

__all__ = ["decode", "decode_csv", "decode_image", "decode_json", "encode", "encode_csv", "encode_json"]


def decode(content: Any, content_type: str = content_types.JSON) -> Any:
    """A dictionary with the key ``inputs``, or what the JSON says. Raises UnsupportedFormatError."""
    if content_type == content_types.JSON:
        return decode_json(content)
    if content_type == content_types.CSV:
        return decode_csv(content)
    if content_type == content_types.NPY:
        return decoder.decode(content, content_type)
    if content_type in _IMAGES:
        return decode_image(content)
    if content_type in _SOUNDS:
        return {"inputs": bytes(content)}
    raise errors.UnsupportedFormatError(content_type)


def encode(content: Any, content_type: str = content_types.JSON) -> Any:
    """The body of an answer. Raises UnsupportedFormatError."""
    if content_type == content_types.JSON:
        return encode_json(content)
    if content_type == content_types.CSV:
        return encode_csv(content)
    if content_type == content_types.NPY:
        return encoder.encode(content, content_type)
    raise errors.UnsupportedFormatError(content_type)


def decode_json(content: Any) -> Any:
    return json.loads(content)


def decode_csv(string_like: str) -> dict[str, Any]:
    """The rows of a CSV with a head; one that has a column ``inputs`` is that column."""
    rows = list(csv.DictReader(io.StringIO(string_like)))
    head = string_like.splitlines()[0].lower() if string_like.strip() else ""
    if not rows or not any(name in head for name in ("question", "context", "inputs")):
        raise ValueError("You need to provide the correct CSV with Header columns: inputs, or question and context")
    return {"inputs": [row["inputs"] for row in rows] if "inputs" in rows[0] else rows}


def decode_image(bpayload: Any) -> dict[str, Any]:
    from PIL import Image

    return {"inputs": Image.open(io.BytesIO(bpayload)).convert("RGB")}


def encode_json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":"))


def encode_csv(content: Any) -> str:
    rows = content if isinstance(content, list) else [content]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy, tensors
        return value.tolist()
    if hasattr(value, "isoformat"):
        return str(value)
    if hasattr(value, "save"):  # a picture, of segmentation say
        stream = io.BytesIO()
        value.save(stream, format="PNG")
        return base64.b64encode(stream.getvalue()).decode()
    return json.JSONEncoder().default(value)


_IMAGES = {
    content_types.JPEG,
    content_types.PNG,
    content_types.TIFF,
    content_types.BMP,
    content_types.GIF,
    content_types.WEBP,
    content_types.X_IMAGE,
}
_SOUNDS = {content_types.FLAC, content_types.MP3, content_types.WAV, content_types.OGG, content_types.X_AUDIO}
