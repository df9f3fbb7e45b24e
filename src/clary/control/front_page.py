"""What a person sees who opens the gateway's address in a browser: what this is, and how to connect.

One screen, static, without script, fetching nothing. Once there is a console it stands behind a port of its own
(``gateway.serve``), and a browser is led there instead.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from clary.control.settings import Settings
from clary.control.wire.asgi import Head, Response
from clary.version import __version__

__all__ = ["front_page"]

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_ANY_KEYS = "Any access key will do here."
_SIGNED = (
    "Requests must be signed here: <code>clary env</code> and <code>clary run</code> know the keys, which are in "
    "<code>credentials.json</code> of the platform's home."
)


def front_page(settings: Settings, *, signed: bool) -> Callable[[Head], Response]:
    """The answer to a browser's ``GET /``. ``signed`` says whether clients need the platform's own keys."""

    def answer(head: Head) -> Response:
        template, style, headers = _parts()
        # The name the visitor came by works for their programs too, which ours need not (a forwarded port, another
        # machine). Whoever sends the request chooses it, so it is taken only where it can be nothing but a name.
        host = head.headers.get("host", "")
        text = template.substitute(
            style=style,
            url=escape(f"http://{host}" if _HOST.fullmatch(host) else settings.url),
            region=escape(settings.region),
            account=escape(settings.account),
            version=escape(__version__),
            key="..." if signed else "clary",
            secret="..." if signed else "clary",
            keys=_SIGNED if signed else _ANY_KEYS,
        )
        return Response(200, list(headers), text.encode())

    return answer


@cache
def _parts() -> tuple[Template, str, tuple[tuple[bytes, bytes], ...]]:
    """The page, its style, and the headers that let it have this one style and nothing else."""
    folder = files(__package__)
    style = (folder / "front_page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Objects are served from this origin too, with the type their owner gave them: a page that somebody stored must
    # not frame this one. frame-ancestors, base-uri and form-action do not fall back to default-src, so they are named.
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
        # By these the same address is the list of buckets.
        "vary": "accept, authorization, user-agent",
    }
    raw = tuple((name.encode(), value.encode()) for name, value in headers.items())
    return Template((folder / "front_page.html").read_text("utf-8")), style, raw
