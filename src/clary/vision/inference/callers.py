"""Who may call a server that asks for no signature: programs, and its own pages, never a page of another site.

Any page that a browser shows can send requests to this machine. What gives it away, in the order it is looked at:

1. the Host header: after DNS rebinding the page's own name points here, and the browser sends that name;
2. Sec-Fetch-Site, which every current browser sends to loopback and over TLS, and programs never do;
3. Origin, which browsers send with whatever can change something;
4. Referer, for browsers that send neither of these two with a GET (older ones, and all of them to a bare LAN address).

Sources: Fetch Metadata Request Headers (W3C), RFC 6454 (Origin), RFC 9110 7.2 and 15.5.20 (Host, 421).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from clary.errors import UsageError

__all__ = ["HostNames", "Refusal", "refusal"]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:,/@\s]+)(:\d*)?")
_PATTERN = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
# What no public name server answers for, besides names without a dot (RFC 6762, RFC 8375; ICANN, July 2024): the names
# of containers, and of machines beside this one.
_PRIVATE = (".local", ".home.arpa", ".internal")
_OWN = frozenset({"same-origin", "none"})  # Sec-Fetch-Site: ours, or typed by the user


class HostNames:
    """The names a server answers to; ``name in names`` for one in lower case, without port and brackets."""

    def __init__(self, *listening: str, allowed: Iterable[str] = ()) -> None:
        """``listening`` is what the server is bound to (names, addresses); ``allowed`` what it is told to take besides.

        A member of ``allowed`` is a name, an address, or ``*.domain``. Raises UsageError for what is none.
        """
        self._allowed = frozenset(_pattern(each) for each in allowed)
        self._names = {each.lower() for each in listening}
        addresses = {found for each in self._names if (found := _address(each))}
        # Bound to all addresses it serves its network, whose members need no trick to ask. Left are names that public
        # name servers could point here: an address is no name, and some names they do not know.
        self._everywhere = any(address.is_unspecified for address in addresses) or "" in self._names
        if self._everywhere:
            self._names.add(socket.gethostname().lower())
        self._addresses = addresses
        self._loopback = "localhost" in self._names or any(address.is_loopback for address in addresses)

    def __contains__(self, name: str) -> bool:
        # These two mean this machine in every browser and resolver (RFC 6761, 6.3).
        if name == "localhost" or name.endswith(".localhost"):
            return True
        if address := _address(name):
            here = self._everywhere or address in self._addresses or (self._loopback and address.is_loopback)
            return here or self.allows(name)
        private = self._everywhere and ("." not in name or name.endswith(_PRIVATE))
        return private or name in self._names or self.allows(name)

    def allows(self, name: str) -> bool:
        """Whether the user has named it."""
        address = _address(name)
        if (str(address) if address else name) in self._allowed:
            return True
        _, *rest = name.split(".")
        return any(f"*.{'.'.join(rest[start:])}" in self._allowed for start in range(len(rest)))


@dataclass(frozen=True, slots=True)
class Refusal:
    """``text`` is one line; ``status`` 421 for a name that is not ours, 403 for a page that is not."""

    status: int
    text: str


def refusal(method: str, headers: Mapping[str, str], names: HostNames, *, page: bool) -> Refusal | None:
    """Why a request is not answered; None where it is. ``headers`` by lower-case name.

    ``page`` says that it asks for a page of ours: a link on any site may lead a person there.
    """
    # Without one: an HTTP/1.0 program. Browsers have sent it since before there was a choice.
    host = headers.get("host", "").lower()
    name = _name(host)
    if host and (name is None or name not in names):
        wanted = ascii((name or host)[:60])[1:-1]
        text = f"This server does not answer to the name {wanted}; if it is its own, start it with --allowed-host"
        return Refusal(421, f"{text} {wanted}")
    site = headers.get("sec-fetch-site", "").lower()
    if site and site not in _OWN and not (page and _is_visit(method, headers)):
        return Refusal(403, "Pages of other sites may not read this server; open its address in a tab of its own")
    origin = headers.get("origin")
    if origin is not None and not _is_ours(origin, host, names):
        text = "Web pages of another origin may not call this server; if that is its own name, start it with"
        return Refusal(403, f"{text} --allowed-host")
    referer = headers.get("referer")
    if not site and origin is None and referer is not None and not page and not _is_ours(referer, host, names):
        return Refusal(403, "Pages of other sites may not read this server; open its address in a tab of its own")
    return None


def _is_visit(method: str, headers: Mapping[str, str]) -> bool:
    """Whether the browser goes to an address as a whole, in a tab and not in a frame."""
    where = headers.get("sec-fetch-mode", "").lower(), headers.get("sec-fetch-dest", "").lower()
    return method == "GET" and where == ("navigate", "document")


def _is_ours(url: str, host: str, names: HostNames) -> bool:
    """Whether an Origin or a Referer is of this server; ``host`` was found right before."""
    try:
        parts = urlsplit(url.lower())
        # A proxy that asks by a name of its own leaves the page's: the user has named it, or it is foreign.
        return bool(host) and (parts.netloc == host or names.allows(parts.hostname or ""))
    except ValueError:
        return False


def _name(host: str) -> str | None:
    """A Host header without port, brackets and the dot that ends a full name; None for what is none."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").removesuffix(".") if found else None


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(name)
    except ValueError:
        return None
    # ::ffff:127.0.0.1 is 127.0.0.1 to a socket that takes both.
    return getattr(address, "ipv4_mapped", None) or address


def _pattern(text: str) -> str:
    pattern = text.strip().lower().removesuffix(".")
    if address := _address(pattern.strip("[]")):
        return str(address)
    if not _PATTERN.fullmatch(pattern) or pattern.rpartition(".")[2].isdigit():
        hint = "give a name without scheme and port, as --allowed-host host.docker.internal or '*.example.org'"
        raise UsageError(f"{text!a} is no name of a host", where="--allowed-host", hint=hint)
    return pattern
