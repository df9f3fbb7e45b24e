"""Requests that nobody sends by chance: every protocol, every place where text stands, endlessly, the same for a seed.

``hostile(seed)`` goes on for ever; who uses it says for how long, and gives it a bucket ``box`` with an object ``kept``
(deleted by none of the requests) to speak of. Values are drawn from what broke servers before (bad
escapes, half surrogates, numbers without end, names that are paths, documents in other encodings), put where botocore's
own descriptions have a member, so that many pass validation and reach what stands behind it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, quote_from_bytes

from clary.control.wire.operation import OPERATIONS
from clary.control.wire.services import TARGETS, VERSIONS, Shape, describe

__all__ = ["Answer", "HostileRequest", "ask", "hostile"]

TEXTS = [
    *("", " ", ".", "..", "/", "//", "a", "a-1", "A" * 64, "x" * 300, "x" * 5000, "None", "null", "true", "-1", "0"),
    *("9" * 5000, "1e999", "NaN", "-Infinity", "\0", "a\0b", "\x01\x1f\x7f", "\r\nx: y", "\u202e", "\ufeff", "\uffff"),
    *(
        "\ud800",
        "a\udfff",
        "é",
        "e\u0301",
        "日本",
        "𝒜",
        "%",
        "%zz",
        "%00",
        "%c3%28",
        "../../etc/passwd",
        "..\\..\\x",
        "~",
        "*",
        "?",
        "#",
    ),
    *(
        "${x}",
        "{{x}}",
        "%s%n",
        "';--",
        "<a>&amp;",
        "]]>",
        "s3://",
        "s3://box",
        "s3://box/a b/../c",
        "s3://a/",
        "s3:///",
    ),
    *("arn:aws:sagemaker:us-east-1:000000000000:model/a", "arn:", "arn:aws:iam::000000000000:role/r", "arn:::::::"),
    *("2024-05-06T07:08:09Z", "20240506T070809Z", "Mon, 06 May 2024 07:08:09 GMT", "99999-99-99T99:99:99Z", "+" * 40),
    *(
        "Mon, 06 May 99999999999999999999 07:08:09 GMT",
        "Mon, 06 May 0001 00:00:00 +2359",
        "bytes=0-0",
        "bytes=-",
        "key",
    ),
    *("bytes=99999999999999999999-", "AAAAAA==", "=", "d41d8cd98f00b204e9800998ecf8427e", '"x"', 'W/"x"', "box/key"),
    *("/box/%ff", "box/%ed%a0%80", "/box/%00", "box", "?versionId=", "/box/key?versionId=x", "COPY", "REPLACE", "gzip"),
]
# Names and addresses as the services want them: most members take one of these.
FITTING = [
    *("a-1", "a", "1", "box", "/a/b", "s3://box/key", "s3://box/out", "us-east-1", "ml.m5.large", "2024-05-06"),
    *(
        "arn:aws:iam::000000000000:role/ClaryRole",
        "arn:aws:sagemaker:us-east-1:000000000000:model/a-1",
        "vpc-0123456789",
    ),
    "433757028032.dkr.ecr.us-west-2.amazonaws.com/image-classification:1",
]
# Raw bytes of an address, where a browser or a program would have quoted them.
ESCAPES = [
    b"",
    b"/",
    b"%",
    b"%2",
    b"%zz",
    b"%00",
    b"%ff",
    b"%ed%a0%80",
    b"%2e%2e",
    b"..",
    b".",
    b"%2f",
    b"+",
    b"%c0%af",
]
ESCAPES += [
    b"\xff",
    b"\xc3\xa9",
    b"%f4%90%80%80",
    b"~",
    b"%25%30%30",
    b"a",
    b"x" * 300,
    b"%0d%0a",
    b";",
    b"=",
    b"&",
    b"key",
]
NUMBERS = [
    "0",
    "-0",
    "-1",
    "1",
    "2147483648",
    "9223372036854775808",
    "-9" * 2,
    "1.5",
    "1e400",
    "9" * 5000,
    "1E5",
    "0x1",
]
TOKENS = [
    *NUMBERS,
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "true",
    "[]",
    "{}",
    '"\\ud800"',
    '"\\u0000"',
    '""',
    '"a"',
    "01",
]
METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "get", "X" * 40]
PARAMETERS = [
    *("acl", "tagging", "uploads", "uploadId", "partNumber", "delete", "location", "versioning", "versions", "policy"),
    *("list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type", "continuation-token", "start-after"),
    *("key-marker", "upload-id-marker", "max-uploads", "max-parts", "part-number-marker", "versionId", "attributes"),
    *("response-content-type", "response-content-disposition", "response-expires", "x-id", "encryption", "unknown"),
    *("max-buckets", "bucket-region", "fetch-owner", "publicAccessBlock", "cors", "lifecycle"),
]
CLAIMS = [
    *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"),
    *("AWSAccessKeyId", "Signature", "Expires", "X-Amz-Content-Sha256", "X-Amz-Security-Token"),
    "yX-Amz-Algorithm",
]
CLAIMED = [
    *("AWS4-HMAC-SHA256", "AKID/20240506/us-east-1/s3/aws4_request", "AKID/20240506/r/sagemaker/aws4_request", "host"),
    *("20240506T070809Z", "60", "AKID", "host;x-amz-date", "é", "9" * 5000, "99999999T999999Z", "00010101T000000Z"),
]
HEADERS = [
    *("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-type", "content-md5"),
    *("content-encoding", "content-disposition", "content-language", "cache-control", "expires", "date", "expect"),
    *("x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match", "x-amz-metadata-directive"),
    *("x-amz-copy-source-if-modified-since", "x-amz-meta-a", "x-amz-meta-", "x-amz-checksum-crc32", "x-amz-trailer"),
    *("x-amz-checksum-sha256", "x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm"),
    *("x-amz-content-sha256", "x-amz-date", "x-amz-decoded-content-length", "x-amz-expected-bucket-owner", "x-amz-acl"),
    *("x-amz-tagging", "x-amz-tagging-directive", "x-amz-object-attributes", "x-amz-server-side-encryption"),
    *("x-amz-server-side-encryption-customer-algorithm", "x-amz-storage-class", "content-length", "referer", "origin"),
    *("x-amz-target", "x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-target-variant", "accept", "user-agent"),
    *("x-amzn-sagemaker-inputlocation", "x-amzn-sagemaker-requestttlseconds", "x-amz-mfa", "transfer-encoding"),
]
ENCODINGS = ["utf-8", "UTF-7", "utf-16", "utf-32", "latin-1", "x-unknown", "idna", "rot13", "undefined", "", "cp037"]
ROOTS = [
    "Delete",
    "CompleteMultipartUpload",
    "CreateBucketConfiguration",
    "Tagging",
    "ServerSideEncryptionConfiguration",
]
LEAVES = ["Key", "Quiet", "PartNumber", "ETag", "LocationConstraint", "VersionId", "Value", "ChecksumCRC32", "Size"]
NESTED = ["Object", "Part", "TagSet", "Tag", "Rule", "Bucket"]


@dataclass(frozen=True)
class HostileRequest:
    """``path`` and ``query`` as they stand in the request line."""

    method: str
    path: bytes
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def raw(self) -> bytes:
        """The request as HTTP/1.1, for a real connection, which is closed after it."""
        target = self.path + (b"?" + self.query if self.query else b"")
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), target), b"Host: localhost", b"Connection: close"]
        if not any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            lines.append(b"Content-Length: %d" % len(self.body))
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def hostile(seed: int, *, key: str = "AKID", stamp: str = "20240506T070809Z") -> Iterator[HostileRequest]:
    """Requests without end. ``key`` is an access key that some of them claim, ``stamp`` when they say to be signed."""
    dice = random.Random(seed)
    makers: list[Callable[[random.Random], HostileRequest]] = [_s3, _s3, _s3, _json, _json, _query, _rest, _anything]
    while True:
        request = dice.choice(makers)(dice)
        yield _claiming(dice, request, key, stamp) if dice.random() < 0.2 else request


async def ask(app: Any, request: HostileRequest) -> Answer:
    """What an ASGI application answers in this process."""
    body, sent = [request.body], list[Any]()
    never = asyncio.Event()  # the client stays until it has its answer

    async def receive() -> dict[str, Any]:
        if not body:
            await never.wait()
        return {"type": "http.request", "body": body.pop(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "headers": request.headers,
    }
    scope |= {"path": request.path.decode("latin-1"), "raw_path": request.path, "query_string": request.query}
    await app(scope, receive, send)
    named = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], named, b"".join(message.get("body", b"") for message in sent[1:]))


def _s3(dice: random.Random) -> HostileRequest:
    bucket = dice.choice([b"box", b"box", b"box", b"box-%d" % dice.randrange(3), dice.choice(ESCAPES)])
    key = b"/".join(dice.choices(ESCAPES, k=dice.choice([0, 1, 1, 2, 5])))
    names = dice.choices(PARAMETERS, k=dice.choice([0, 0, 1, 1, 2, 4]))
    query = b"&".join(quote(name).encode() + dice.choice([b"", b"=" + _escaped(dice)]) for name in names)
    method = dice.choice([*METHODS[:5], dice.choice(METHODS)])
    body = dice.choice([b"", b"x", _xml(dice), _xml(dice)])
    # The operations that read a body, at a place where they find something.
    if dice.random() < 0.3:
        method, key, query, body = dice.choice(
            [
                ("POST", b"", b"delete", _xml(dice, "Delete")),
                ("POST", b"key", b"uploadId=" + _escaped(dice), _xml(dice, "CompleteMultipartUpload")),
                ("PUT", b"", b"", _xml(dice, "CreateBucketConfiguration")),
                ("PUT", b"key", b"tagging", _xml(dice, "Tagging")),
                ("POST", b"", b"", _form_data(dice)),
            ]
        )
    headers = _headers(dice)
    # Headers that stand for an operation of their own, or change what one does, where it finds an object.
    if dice.random() < 0.3:
        method, key, query = dice.choice([("PUT", b"copy", b""), ("GET", b"kept", b""), ("HEAD", b"kept", b"")])
        prefix = "x-amz-copy-source" if method == "PUT" else dice.choice(["range", "if-", "x-amz-"])
        source = dice.choice(
            ["/box/kept", "box/kept", dice.choice(TEXTS), _quoted(dice, dice.choice(TEXTS)).decode("latin-1")]
        )
        headers = [(b"x-amz-copy-source", _header(source))] if method == "PUT" else []
        names = [name for name in HEADERS if name.startswith(prefix) and name != "x-amz-copy-source"]
        headers += [
            (name.encode(), _header(dice.choice(TEXTS))) for name in dice.choices(names, k=dice.choice([0, 1, 2]))
        ]
    if body[:2] == b"--":
        headers.append((b"content-type", b"multipart/form-data; boundary=b"))
    return HostileRequest(method, b"/" + bucket + b"/" + key, query, headers, body)


def _json(dice: random.Random) -> HostileRequest:
    service, name = dice.choice(_operations("json"))
    prefix = next(prefix for prefix, found in TARGETS.items() if found == service)
    target = f"{prefix}.{name}" if dice.random() < 0.95 else dice.choice(TEXTS)
    headers = [(b"x-amz-target", _header(target)), (b"content-type", b"application/x-amz-json-1.1")]
    if dice.random() < 0.15:
        headers += _headers(dice)
    return HostileRequest("POST", b"/", b"", headers, _json_body(dice, service, name))


def _query(dice: random.Random) -> HostileRequest:
    service, name = dice.choice(_operations("query"))
    version = next(version for version, found in VERSIONS.items() if found == service)
    fields: list[tuple[str, str]] = [("Action", name), ("Version", version)]
    _flatten(_request(dice, service, name), "", fields)
    for _ in range(dice.choice([0, 0, 1, 3])):
        part = dice.choice(["member", "1", "entry", "key", "", "x", "9" * 30, "-1", "Name"])
        fields.append((dice.choice(fields)[0] + "." + part, dice.choice(TEXTS)))
    form = b"&".join(
        quote(key, safe=".", errors="surrogatepass").encode() + b"=" + _quoted(dice, text) for key, text in fields
    )
    form += dice.choice([b"", b"", b"&%", b"&a=%ff", b"&" * 50, b"\xff", b"&a" + b".1" * 3000 + b"=1"])
    if dice.random() < 0.3:
        return HostileRequest(dice.choice(["GET", "HEAD", "POST"]), b"/", form)
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    return HostileRequest("POST", b"/", b"", headers, form)


def _rest(dice: random.Random) -> HostileRequest:
    service, name = dice.choice(_operations("rest-json"))
    operation = describe(service).operations[name]
    path = operation.path.encode()
    for label in ("{EndpointName}",):
        path = path.replace(label.encode(), dice.choice([b"cats", dice.choice(ESCAPES)]))
    body = _json_body(dice, service, name) if service == "sagemaker-metrics" else dice.choice([b"", b"\xff" * 9, b"{}"])
    method = operation.method if dice.random() < 0.9 else dice.choice(METHODS)
    return HostileRequest(method, path, dice.choice([b"", b"a=%ff", b"%"]), _headers(dice), body)


def _anything(dice: random.Random) -> HostileRequest:
    path = b"/" + b"/".join(dice.choices([*ESCAPES, b"clary", b"health", b"endpoints", b"service", b"box"], k=3))
    body = dice.choice([b"", dice.randbytes(30), _xml(dice), b"[" * 100_000, b'{"a":' * 5000, gzip.compress(b"{}")])
    headers = _headers(dice)
    if dice.random() < 0.3:
        headers.append(
            (b"content-type", _header(dice.choice(["application/x-www-form-urlencoded", "text/html", "\xff"])))
        )
    return HostileRequest(dice.choice(METHODS), path, _escaped(dice), headers, body)


def _claiming(dice: random.Random, request: HostileRequest, key: str, stamp: str) -> HostileRequest:
    """The request with something that looks like a signature, in its address or in its headers."""
    service = dice.choice(["s3", "s3", "s3", "sagemaker", "sts", "monitoring", "ec2", "../x", "é"])
    credential = f"{key}/{stamp[:8]}/r/{service}/aws4_request"
    if dice.random() < 0.5:
        text = b"&".join(name.encode() + b"=" + _quoted(dice, value) for name, value in _pairs(dice, credential, stamp))
        query = request.query + b"&" + text if request.query else text
        return HostileRequest(request.method, request.path, query, request.headers, request.body)
    claim = dice.choice(
        [
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=x",
            f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders=;host;,Signature=é",
            f"AWS {key}:x",
            f"AWS {key}:é",
            f"AWS4-{dice.choice(TEXTS)}",
            f"AWS4-HMAC-SHA256 {dice.choice(TEXTS)}",
        ]
    )
    date = dice.choice([stamp, stamp, *CLAIMED, *TEXTS])
    headers = [(b"authorization", _header(claim)), (b"host", b"localhost")]
    headers += [(dice.choice([b"x-amz-date", b"date"]), _header(date))]
    if dice.random() < 0.5:
        return HostileRequest(request.method, request.path, request.query, headers, request.body)
    return HostileRequest(request.method, request.path, request.query, headers + request.headers, request.body)


def _pairs(dice: random.Random, credential: str, stamp: str) -> list[tuple[str, str]]:
    """The parameters of a presigned address: any, or all there must be and at most one of them odd."""
    if dice.random() < 0.3:
        return [(name, dice.choice([*CLAIMED, credential, *TEXTS])) for name in dice.choices(CLAIMS, k=6)]
    pairs = dict(zip(CLAIMS, ["AWS4-HMAC-SHA256", credential, stamp, "60", "host", "x"], strict=False))
    pairs[dice.choice(list(pairs))] = dice.choice([*TEXTS, *CLAIMED])
    return list(pairs.items())


def _headers(dice: random.Random) -> list[tuple[bytes, bytes]]:
    names = dice.sample(HEADERS, dice.choice([0, 0, 1, 2, 5]))
    streaming = ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "aws-chunked", "-5", "1,2"]
    # One header in so many stands twice.
    names += names[:1] if dice.random() < 0.1 else []
    return [(name.encode(), _header(dice.choice([*TEXTS, *streaming]))) for name in names]


def _header(text: str) -> bytes:
    """A header's value: any bytes but the ends of lines, as a server hands them on."""
    return text.encode("utf-8", "surrogatepass").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")


def _escaped(dice: random.Random) -> bytes:
    return dice.choice([*ESCAPES, _quoted(dice, dice.choice(TEXTS))])


def _quoted(dice: random.Random, text: str) -> bytes:
    return (
        quote_from_bytes(text.encode("utf-8", "surrogatepass")).encode()
        if dice.random() < 0.95
        else dice.choice(ESCAPES)
    )


def _xml(dice: random.Random, root: str = "") -> bytes:
    def leaf() -> str:
        name = dice.choice(LEAVES)
        text = dice.choice([*TEXTS, "&#xD800;", "&#0;", "&x;", "<![CDATA[x]]>", "<!-- x -->", "<?x y?>"])
        return f"<{name}>{text}</{name}>" if dice.random() < 0.9 else f"<{name} a='{text[:20]}'/>"

    root = root or dice.choice(ROOTS)
    inside = ""
    for _ in range(dice.choice([0, 1, 1, 3])):
        name = dice.choice(NESTED)
        inside += (
            f"<{name}>{''.join(leaf() for _ in range(dice.choice([1, 2])))}</{name}>" if dice.random() < 0.8 else leaf()
        )
    if dice.random() < 0.05:
        inside = "<Object>" * 3000 + inside + "</Object>" * 3000
    space = dice.choice(["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="x"', " a='"])
    encoding = dice.choice(ENCODINGS) if dice.random() < 0.4 else "utf-8"
    head = f'<?xml version="1.0" encoding="{encoding}"?>' if dice.random() < 0.6 else ""
    bomb = '<!DOCTYPE x [<!ENTITY x "xxxxxxxxxx">]>' if dice.random() < 0.1 else ""
    text = f"{head}{bomb}<{root}{space}>{inside}</{root}>"
    data = text.encode(
        encoding if encoding in ("utf-16", "utf-32", "UTF-7", "latin-1", "cp037") else "utf-8", "replace"
    )
    return data if dice.random() < 0.9 else data[: dice.randrange(len(data))] + dice.randbytes(3)


def _form_data(dice: random.Random) -> bytes:
    names = dice.choices(["key", "policy", "file", "acl", "Content-Type", "x-amz-meta-a", "success_action_status"], k=3)
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{dice.choice(TEXTS)}\r\n' for name in names]
    return "".join(parts).encode("utf-8", "surrogatepass") + dice.choice([b"--b--\r\n", b"--b", b""])


def _json_body(dice: random.Random, service: str, name: str) -> bytes:
    text = json.dumps(_request(dice, service, name), ensure_ascii=dice.random() < 0.5)
    chance = dice.random()
    if name == "Search" and chance > 0.8:  # the one request without an end of its own
        deep = dice.choice([100, 330, 450, 5000])
        inside = '{"SubExpressions":[' * deep + "{}" + "]}" * deep
        text = f'{{"Resource":"TrainingJob","SearchExpression":{inside}}}'
    elif chance < 0.2 and ":" in text:  # a value in place of another
        start = dice.choice([place for place, letter in enumerate(text) if letter == ":"])
        end = min((text + ",}").index(mark, start) for mark in ",}")
        text = text[: start + 1] + dice.choice(TOKENS) + text[end:]
    elif chance < 0.25:
        text = text[: dice.randrange(len(text) + 1)]
    elif chance < 0.3:
        text = dice.choice(["", "[]", "null", '"a"', "[" * 5000, '{"a":' * 5000, '{"a":1,"a":2}', "\ufeff{}", "{}{}"])
    data = text.encode("utf-8", "surrogatepass")
    return data if dice.random() < 0.95 else text.encode("utf-16", "surrogatepass") + dice.randbytes(2)


@cache
def _operations(protocol: str) -> list[tuple[str, str]]:
    return sorted(key for key in OPERATIONS if protocol in describe(key[0]).protocols and _spoken(key[0], protocol))


def _spoken(service: str, protocol: str) -> bool:
    if protocol == "rest-json":
        return True
    return service in (TARGETS if protocol == "json" else VERSIONS).values()


def _request(dice: random.Random, service: str, name: str) -> dict[str, Any]:
    description = describe(service)
    shape = description.operations[name].input
    # Many are right but for a word here and there: those get beyond validation.
    odd = dice.choice([0.02, 0.1, 0.3])
    made: dict[str, Any] = _value(dice, description.shapes, shape, odd) if shape else {}
    return made


def _value(dice: random.Random, shapes: dict[str, Shape], name: str, odd: float, depth: int = 0) -> Any:
    """A value for a shape, hostile with the chance ``odd``; else of its type and, where we know one, of its form."""
    shape = shapes[name]
    if dice.random() < odd / 10:
        return dice.choice([None, [], {}, "", 0, [[]], {"": ""}])
    match shape["type"]:
        case "structure":
            required = shape.get("required", [])
            return {
                member: _value(dice, shapes, reference["shape"], odd, depth + 1)
                for member, reference in shape.get("members", {}).items()
                if member in required or (dice.random() < 0.25 and depth < 5)
            }
        case "list":
            few = max(dice.choice([0, 1, 1, 2]), shape.get("min", 0)) if depth < 30 else 0
            return [_value(dice, shapes, shape["member"]["shape"], odd, depth + 1) for _ in range(few)]
        case "map":
            key = _value(dice, shapes, shape["key"]["shape"], odd)
            return {str(key): _value(dice, shapes, shape["value"]["shape"], odd, depth + 1)}
        case "boolean":
            return dice.random() < 0.5
        case "integer" | "long":
            edges = [shape.get("min", 0), shape.get("max", 1), 1]
            return dice.choice(edges if dice.random() > odd else [0, -1, 2**31 - 1, 2**63 - 1, -(2**63)])
        case "float" | "double":
            return dice.choice([0.0, 1.5, -1e308, 5e-324, 1])
        case "timestamp":
            return dice.choice([1714979289.5, 0] if dice.random() > odd else [-1e10, 253402300800, 1e30, "x"])
        case "blob":
            return dice.choice(["", "AAAA"] if dice.random() > odd else ["=", "é", "\ud800"])
    return dice.choice(_fitting(shape)) if dice.random() > odd else dice.choice(TEXTS)


def _fitting(shape: Shape) -> list[str]:
    """Texts that a shape takes; any where none of ours fits."""
    if shape.get("enum"):
        return list(shape["enum"])
    pattern, low, high = shape.get("pattern", ".*"), shape.get("min", 0), shape.get("max", 1 << 20)
    try:
        found = [text for text in FITTING if low <= len(text) <= high and re.fullmatch(pattern, text)]
    except re.error:  # Java's classes, as \\p{L}
        found = []
    return found or FITTING


def _flatten(value: Any, prefix: str, fields: list[tuple[str, str]]) -> None:
    """The query protocol's dotted names."""
    match value:
        case dict():
            for name, inner in value.items():
                _flatten(inner, f"{prefix}.{name}" if prefix else name, fields)
        case list():
            for number, inner in enumerate(value, 1):
                _flatten(inner, f"{prefix}.member.{number}", fields)
        case None:
            pass
        case _:
            fields.append((prefix, str(value)))
