"""Who asks: a person in a browser, or a program."""

from __future__ import annotations

import pytest

from clary.control.wire.asgi import Head
from clary.control.wire.routing import is_browser, is_s3

FIREFOX = {
    "host": "127.0.0.1:4747",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
}


def test_a_browser_at_the_front_door():
    assert is_browser(Head("GET", "/", "", FIREFOX))
    assert is_browser(Head("GET", "/", "", {"accept": "TEXT/HTML", "user-agent": "Lynx/2.9"}))


@pytest.mark.parametrize(("method", "path", "query"), [("POST", "/", ""), ("GET", "/b", ""), ("GET", "/", "prefix=a")])
def test_only_a_plain_get_of_the_root(method, path, query):
    assert not is_browser(Head(method, path, query, FIREFOX))


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "*/*"},  # curl
        {"accept": "application/xml"},
        {"authorization": "AWS4-HMAC-SHA256 Credential=x"},
        {"x-amz-date": "20260101T000000Z"},
        {"amz-sdk-invocation-id": "0"},
        {"user-agent": "Boto3/1.42.2 md/Botocore#1.42.2"},
        {"user-agent": "aws-cli/2.30.0 md/awscrt#0.27"},
        {"user-agent": "aws-sdk-java/2.30.0 Linux/6.1"},
        {"user-agent": "MinIO (linux; amd64) minio-go/v7.0.90"},
        {"user-agent": "Java/1.8.0_292", "accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"},
    ],
)
def test_programs(headers):
    assert not is_browser(Head("GET", "/", "", FIREFOX | headers))


def test_a_client_that_says_nothing():
    assert not is_browser(Head("GET", "/", "", {"host": "127.0.0.1:4747"}))  # boto3 sends no Accept


@pytest.mark.parametrize(
    ("method", "path", "query", "kind"),
    [
        ("GET", "/clary/health", "", ""),
        ("PUT", "/BatchPutMetrics", "", ""),
        ("POST", "/", "delete", "application/x-www-form-urlencoded"),
        ("GET", "/", "prefix=Action=", ""),
    ],
)
def test_behind_the_host_of_a_bucket_every_path_is_a_key(method, path, query, kind):
    headers = {"host": "box.localhost:4747", "content-type": kind}
    assert is_s3(Head(method, path, query, headers), None)
    assert not is_browser(Head("GET", "/", "", FIREFOX | {"host": "box.localhost:4747"}))
    assert is_browser(Head("GET", "/", "", FIREFOX | {"host": "clary.localhost:4747"}))
