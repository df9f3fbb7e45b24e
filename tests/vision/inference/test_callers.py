"""Which callers a server without signatures answers: every header by which a browser gives a page away."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from clary.errors import UsageError
from clary.vision.inference.callers import HostNames, refusal

VISIT = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def status(
    headers: dict[str, str], names: HostNames | None = None, *, method: str = "GET", page: bool = False
) -> int | None:
    found = refusal(method, headers, names or HostNames("127.0.0.1"), page=page)
    return found.status if found else None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:4747", "127.8.9.1:1", "[::1]", "[::1]:4747", "[::ffff:127.0.0.1]:4747", "[0:0::0:1]"),
        *("localhost", "LOCALHOST:4747", "localhost.:80", "bucket.localhost:4747", "Bucket.s3.LocalHost", ""),
    ],
)
def test_names_of_loopback(host):
    assert status({"host": host}) is None


def test_http_1_0_needs_no_host():
    assert status({}) is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:4747",
            "localhost.evil.example",
            "notlocalhost",
            "evillocalhost:80",
            "10.0.0.1",
        ),
        *("[2001:db8::1]:4747", "127.0.0.1.nip.io", "127.0.0.1@evil.example", "a b", "[::1", "::1", "localhost,evil.x"),
        *("0.0.0.0", "2130706433", "\u0660", "[fe80::1%25eth0]", ":4747", "localhost:x"),
    ],
)
def test_other_names_are_refused_and_the_setting_named(host):
    found = refusal("GET", {"host": host}, HostNames("127.0.0.1"), page=True)
    assert found is not None
    assert found.status == 421
    assert "--allowed-host" in found.text
    assert "\n" not in found.text
    assert found.text.isascii()


def test_a_name_is_cut_where_it_is_shown():
    found = refusal("GET", {"host": "x" * 5000}, HostNames("127.0.0.1"), page=True)
    assert found is not None
    assert len(found.text) < 300


def test_the_setting_is_named_with_its_value():
    found = refusal("GET", {"host": "Gpu-Box.lan:80"}, HostNames("127.0.0.1"), page=True)
    assert found is not None
    assert found.text.endswith("start it with --allowed-host gpu-box.lan")


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("host.docker.internal", "host.docker.internal:4747"),
        ("Gpu-Box.lan.", "gpu-box.LAN"),
        ("my_service", "my_service:80"),
        ("*.example.org", "a.example.org"),
        ("*.example.org", "a.b.example.org:4747"),
        ("192.168.0.7", "192.168.0.7:4747"),
        ("[2001:DB8::1]", "[2001:db8:0::1]:4747"),
    ],
)
def test_allowed_names(allowed, host):
    assert status({"host": host}) == 421
    assert status({"host": host}, HostNames("127.0.0.1", allowed=[allowed])) is None


@pytest.mark.parametrize("host", ["example.org", "badexample.org", "a.example.org.evil.example"])
def test_what_a_pattern_does_not_hold(host):
    assert status({"host": host}, HostNames("127.0.0.1", allowed=["*.example.org"])) == 421


@pytest.mark.parametrize("name", ["http://x", "x:80", "*", "*.", "", "a b", "x/y", "ex*mple.org", "1.2.3.4.5", "é.org"])
def test_what_is_no_name_is_refused_at_the_start(name):
    with pytest.raises(UsageError, match="--allowed-host"):
        HostNames("127.0.0.1", allowed=[name])


def test_an_address_of_ones_own():
    names = HostNames("192.168.0.7")
    assert status({"host": "192.168.0.7:80"}, names) is None
    assert status({"host": "192.168.0.8"}, names) == 421
    assert status({"host": "gpu-box.lan"}, names) == 421
    assert status({"host": "gpu-box.lan"}, HostNames("gpu-box.lan")) is None
    assert status({"host": "model"}, names) == 421


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_all_addresses_are_those_of_any_route_here(everywhere, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Gpu-Box.example.org")
    names = HostNames(everywhere)
    own = ("192.168.0.7:8080", "[2001:db8::1]", "localhost", "gpu-box.example.org:8080")
    for host in (*own, "model:8080", "gpu-box.local", "model.ns.svc.cluster.local", "host.docker.internal"):
        assert status({"host": host}, names) is None
    for host in ("evil.example", "gpu-box.example.com", "local.evil.example", "evillocal.example:8080"):
        assert status({"host": host}, names) == 421


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "new-word"])
def test_what_a_foreign_page_loads_is_refused(site, method):
    headers = {"host": "localhost:4747", "sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    assert status(headers, method=method) == 403
    assert status(headers, method=method, page=True) == 403
    for headers in ({"sec-fetch-dest": "iframe", "sec-fetch-mode": "navigate"}, {"sec-fetch-mode": "navigate"}):
        assert status({"host": "localhost", "sec-fetch-site": site, **headers}, method=method, page=True) == 403


def test_a_link_leads_to_a_page_and_to_nothing_else():
    headers = {"host": "localhost:4747", "sec-fetch-site": "cross-site", **VISIT}
    assert status(headers, page=True) is None
    assert status(headers | {"referer": "https://evil.example/"}, page=True) is None
    assert status(headers, page=False) == 403
    assert status(headers, page=True, method="POST") == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_own_pages_and_typed_addresses(site):
    assert status({"host": "localhost:4747", "sec-fetch-site": site}) is None


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://localhost:4747", "localhost:4747", None),
        ("http://LOCALHOST:4747", "localhost:4747", None),
        ("http://[::1]:4747", "[::1]:4747", None),
        ("http://localhost:8888", "localhost:4747", 403),
        ("http://127.0.0.1:4747", "localhost:4747", 403),
        ("null", "localhost:4747", 403),
        ("", "localhost:4747", 403),
        ("http://[", "localhost:4747", 403),
        ("http://evil.example", "", 403),
        ("https://hub.example", "localhost:8080", None),  # named by --allowed-host: a proxy in front
        ("https://evil.example", "localhost:8080", 403),
    ],
)
@pytest.mark.parametrize("where", ["origin", "referer"])
def test_origin_and_for_old_browsers_referer(origin, host, expected, where):
    names = HostNames("127.0.0.1", allowed=["hub.example"])
    headers = {"host": host} if host else {}
    assert status({**headers, where: origin if where == "origin" else f"{origin}/a/b?c"}, names) == expected


def test_a_name_that_was_pointed_here_does_not_vouch_for_itself():
    headers: Any = {"host": "evil.example:4747", "origin": "http://evil.example:4747", "sec-fetch-site": "same-origin"}
    assert status(headers, method="POST") == 421
