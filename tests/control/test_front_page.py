"""The page a browser gets at the gateway's address."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape

import pytest

import clary
from clary.control.front_page import front_page
from clary.control.settings import Settings
from clary.control.wire.asgi import Head, Response

SETTINGS = Settings(port=4801, region="eu-west-1")


def opened(host: str = "127.0.0.1:4801", *, signed: bool = False) -> Response:
    return front_page(SETTINGS, signed=signed)(Head("GET", "/", "", {"host": host} if host else {}))


def text(host: str = "127.0.0.1:4801", *, signed: bool = False) -> str:
    return unescape(opened(host, signed=signed).body.decode())


def test_it_says_how_to_connect():
    page = text()
    for words in ("clary run python program.py", 'eval "$(clary env)"', 'endpoint_url="http://127.0.0.1:4801"'):
        assert words in page
    assert 'region_name="eu-west-1"' in page
    assert clary.__version__ in page
    assert "docs/guides/platform.md" in page


@pytest.mark.parametrize("host", ["localhost:8000", "[::1]:4801", "gpu-box.lan"])
def test_the_address_is_the_one_the_visitor_came_by(host):
    assert f'endpoint_url="http://{host}"' in text(host)


@pytest.mark.parametrize("host", ["", 'x"><script>', "a b", "x@y", "x:123456", "$url"])
def test_but_only_where_it_is_one(host):
    page = opened(host).body.decode()
    assert page == opened().body.decode()


def test_keys():
    assert 'aws_access_key_id="clary"' in text()
    signed = text(signed=True)
    assert 'aws_access_key_id="..."' in signed
    assert "credentials.json" in signed


def test_it_is_self_contained_and_may_load_nothing():
    answer = opened()
    page, headers = answer.body.decode(), dict(answer.headers)
    assert not re.search(r"<script|<link|<img|<iframe|<form|\bon\w+=|\bstyle=|src=|href=|url\(|@import", page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = headers[b"content-security-policy"].decode().split("; ")
    assert policy[:3] == ["default-src 'none'", f"style-src 'sha256-{digest}'", "frame-ancestors 'none'"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"content-type"] == b"text/html; charset=utf-8"
