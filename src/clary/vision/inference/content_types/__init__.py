"""Bodies of requests and answers, one file a family of media types, found by scanning this folder.

Negotiation follows RFC 9110, sections 8.3 (Content-Type) and 12.5.1 (Accept).
"""

from __future__ import annotations

from clary.errors import NotAcceptableError, UnsupportedMediaTypeError
from clary.registry import Registry
from clary.vision.base.jobdir import media_type
from clary.vision.inference.content_types._base import RequestType, ResponseType

__all__ = ["REQUESTS", "RESPONSES", "RequestType", "ResponseType", "request_type", "response_type"]

REQUESTS: Registry[RequestType] = Registry("request_types", __name__, "REQUEST")
RESPONSES: Registry[ResponseType] = Registry("response_types", __name__, "RESPONSE")


def request_type(content_type: str | None) -> RequestType:
    """The type that reads a body sent as ``content_type``. Raises UnsupportedMediaTypeError (415)."""
    name = media_type(content_type or "")[0]
    for kind in REQUESTS:
        if name in kind.media_types:
            return kind
    known = ", ".join(one for kind in REQUESTS for one in kind.documented)
    what = f"content-type {_shown(name)} not supported" if name else "content-type is missing"
    raise UnsupportedMediaTypeError(what, mend=f"send one of {known}")


def response_type(accept: str | None) -> ResponseType:
    """The type most welcome under ``accept``; absent or ``*/*``: application/json. Raises NotAcceptableError."""
    ranges = _ranges(accept) if accept and accept.strip() else {"*/*": 1.0}
    offers = sorted(RESPONSES, key=lambda kind: (-_welcome(kind.media_type, ranges), kind.rank))
    if not offers or not _welcome(offers[0].media_type, ranges):
        known = " or ".join(kind.media_type for kind in sorted(RESPONSES, key=lambda kind: kind.rank))
        raise NotAcceptableError(f"accept {_shown(accept or '')} not supported", mend=f"ask for {known}")
    return offers[0]


def _ranges(accept: str) -> dict[str, float]:
    """Media ranges and their quality, 0..1. One that cannot be read counts as 1, like one left out."""
    pairs = (media_type(part) for part in accept.split(",") if part.strip())
    return {name: _quality(parameters.get("q", "1")) for name, parameters in pairs}


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return value if 0 <= value <= 1 else 1.0


def _welcome(name: str, ranges: dict[str, float]) -> float:
    """Quality of a media type: that of the most specific range it falls into, or 0."""
    family = name.partition("/")[0] + "/*"
    return next((ranges[range_] for range_ in (name, family, "*/*") if range_ in ranges), 0.0)


def _shown(text: str) -> str:
    """A header fit to be sent back in a message."""
    return ascii(text)[1:-1][:80]
