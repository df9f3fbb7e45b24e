"""What the image makes of a request's body before TensorFlow Serving sees it.

    application/json, application/jsonlines, application/jsons
        an object with `instances`, `inputs` or `examples`      as it is
        several values, one after another                       each an instance
        a list of lists                                         the instances
        any other value                                         the one instance
    text/csv                                                    each line an instance
    anything else                                               415

Source: tensorflow-serving.js, which looks for patterns in the text; here it is read first, which gives the same for all
that it can read, and for several values in one line as well, which it cannot.
"""

from __future__ import annotations

import re
from typing import Any

from clary.toolkit.serving.tensorflow.json_text import parse, parse_values
from clary.toolkit.serving.tensorflow.status import StatusError

__all__ = ["document_of", "with_accept"]

_JSON = ("application/json", "application/jsonlines", "application/jsons")
_CSV = "text/csv"
_KEYS = ("instances", "inputs", "examples")
_SEVERAL = re.compile(rb"[}\]]\s*[\[{]")
# A quote or the beginning of a number in the first field, and nothing is put into quotes.
_AS_IT_IS = re.compile(r'\s*("|[\d.Ee+\-]+)')


def document_of(body: bytes, content_type: str) -> Any:
    """The JSON document of the REST API. Raises StatusError: 415, and 400 for what is no JSON."""
    if content_type in _JSON:
        return _of_json(body)
    if content_type == _CSV:
        return {"instances": _of_csv(body)}
    raise StatusError(f"Unsupported Media Type: {content_type or 'Unknown'}", 415)


def _of_json(body: bytes) -> Any:
    try:
        value = parse(body)
    except StatusError:
        if not _SEVERAL.search(body):
            raise
        return {"instances": parse_values(body)}
    if isinstance(value, dict) and any(key in value for key in _KEYS):
        return value
    if isinstance(value, list) and value and isinstance(value[0], list):
        return {"instances": value}
    return {"instances": [value]}


def _of_csv(body: bytes) -> Any:
    text = body.decode(errors="replace")
    quote = not _AS_IT_IS.match(text)
    rows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if quote:
            line = '"' + line.replace("\\", "\\\\").replace('"', '\\"').replace(",", '","') + '"'
        rows.append(f"[{line}]" if "," in line else line)
    return parse(f"[{','.join(rows)}]".encode())


def with_accept(body: bytes, accept: str) -> tuple[bytes, str]:
    """An answer and its type, as the client asked for it: in one line where it names JSON."""
    types = accept.strip().replace(" ", "").split(",") if accept else []
    if "application/jsonlines" in types or "application/json" in types:
        return body.replace(b"\n", b""), types[0]
    return body, "application/json"
