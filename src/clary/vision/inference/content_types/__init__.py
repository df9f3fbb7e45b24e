"""Bodies of requests, one file a family of media types, found by scanning this folder; and which body is answered.

Negotiation follows RFC 9110, sections 8.3 (Content-Type) and 12.5.1 (Accept). What a model can answer with is its
task's (``inference.tasks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from clary.errors import NotAcceptableError, UnsupportedMediaTypeError
from clary.registry import Registry
from clary.vision.base.jobdir import canonical, media_type
from clary.vision.inference.content_types._base import RequestType, ResponseType

__all__ = ["REQUESTS", "RequestType", "ResponseType", "request_type", "response_type"]

REQUESTS: Registry[RequestType] = Registry("request_types", __name__, "REQUEST")


def request_type(content_type: str | None) -> RequestType:
    """The type that reads a body sent as ``content_type``. Raises UnsupportedMediaTypeError (415)."""
    name = canonical(media_type(content_type or "")[0])
    for kind in REQUESTS:
        if name in kind.media_types:
            return kind
    known = ", ".join(one for kind in REQUESTS for one in kind.documented)
    what = f"content-type {_shown(name)} not supported" if name else "content-type is missing"
    raise UnsupportedMediaTypeError(what, hint=f"send one of {known}")


def response_type(accept: str | None, offers: Sequence[ResponseType[Any]]) -> ResponseType[Any]:
    """Of ``offers``, the first being the default, the one most welcome under ``accept``.

    Of several that are equally welcome one whose parameters were named goes first. Raises NotAcceptableError (406).
    """
    ranges = _ranges(accept) if accept and accept.strip() else [_Range("*/*", {}, 1.0)]
    # sorted is stable: among equals the offers' own order decides, the default first.
    ranked = sorted(offers, key=lambda kind: (-_welcome(kind, ranges), -len(kind.parameters)))
    if not ranked or not _welcome(ranked[0], ranges):
        known = " or ".join(str(kind) for kind in offers)
        raise NotAcceptableError(f"accept {_shown(accept or '')} not supported", hint=f"ask for {known}")
    return ranked[0]


class _Range(NamedTuple):
    """A media range with its parameters and its quality, 0..1."""

    name: str
    parameters: dict[str, str]
    quality: float


def _ranges(accept: str) -> list[_Range]:
    """The ranges of a header. A quality that cannot be read counts as 1, like one left out."""
    pairs = (media_type(part) for part in accept.split(",") if part.strip())
    return [_Range(name, parameters, _quality(parameters.get("q", "1"))) for name, parameters in pairs]


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return value if 0 <= value <= 1 else 1.0


def _welcome(kind: ResponseType[Any], ranges: Sequence[_Range]) -> float:
    """Quality of a type: that of the most specific range it falls into, or 0.

    A type without parameters falls into a range with any (``charset`` and the like change nothing here).
    """
    if kind.parameters:
        named = [
            one for one in ranges if one.name == kind.media_type and kind.parameters.items() <= one.parameters.items()
        ]
        # Never by a range such as */*: who does not name the parameters means the plain form.
        return max((one.quality for one in named), default=0.0)
    family = kind.media_type.partition("/")[0] + "/*"
    by_name = {one.name: one.quality for one in ranges}
    return next((by_name[name] for name in (kind.media_type, family, "*/*") if name in by_name), 0.0)


def _shown(text: str) -> str:
    """A header fit to be sent back in a message."""
    # A header may hold anything, also line ends and more of it than an error message should carry.
    return ascii(text)[1:-1][:80]
