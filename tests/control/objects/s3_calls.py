"""S3 requests to an application in this process: no socket, no client library that changes what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

__all__ = ["Answer", "Calls", "Listing"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an S3 error."""
        return self.body.decode().partition("<Code>")[2].partition("</Code>")[0]

    @property
    def etag(self) -> str:
        """Of the header, else of the document; without quotes."""
        text = self.headers.get("etag") or self.text("ETag")
        return text.strip('"')

    def text(self, name: str) -> str:
        return next((each.text or "" for each in self.tree().iter() if each.tag.endswith("}" + name)), "")

    def tree(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)


@dataclass(frozen=True)
class Listing:
    """One page, or all of them. ``objects`` maps a key to its ETag; ``order`` has keys and prefixes as they came."""

    objects: dict[str, str]
    prefixes: list[str]
    order: list[str]
    next: str = ""


class Calls:
    """Each thread needs one of its own."""

    def __init__(self, app: Any, bucket: str = "box") -> None:
        self._app, self._bucket = app, bucket
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def __call__(
        self,
        method: str,
        key: str | None = None,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """``key`` None is the bucket. Names of headers are written with underscores."""
        path = f"/{self._bucket}" + ("" if key is None else f"/{quote(key, safe='/')}")
        named = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-length": str(len(body))}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": "&".join(f"{quote(n)}={quote(v, safe='')}" for n, v in (query or {}).items()).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        return self._runner.run(self._call(scope, body))

    async def _call(self, scope: dict[str, Any], body: bytes) -> Answer:
        sent: list[dict[str, Any]] = []
        received = asyncio.Queue[dict[str, Any]]()
        received.put_nowait({"type": "http.request", "body": body, "more_body": False})

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, received.get, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(each["body"] for each in sent[1:]))

    def put(self, key: str, body: bytes = b"", **headers: str) -> Answer:
        return self("PUT", key, body, None, **headers)

    def copy(self, source: str, target: str, **headers: str) -> Answer:
        return self("PUT", target, b"", None, x_amz_copy_source=quote(f"{self._bucket}/{source}"), **headers)

    def upload(self, key: str, body: bytes, **headers: str) -> Answer:
        """As a multipart upload of one part."""
        upload = self("POST", key, b"", {"uploads": ""}, **headers).text("UploadId")
        part = self("PUT", key, body, {"uploadId": upload, "partNumber": "1"})
        return self.complete(key, upload, part.etag)

    def complete(self, key: str, upload: str, etag: str) -> Answer:
        """An upload of one part."""
        xml = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        return self("POST", key, f"{xml}</CompleteMultipartUpload>".encode(), {"uploadId": upload})

    def page(self, **query: str) -> Listing:
        """ListObjects of the first version; names of parameters are written with underscores."""
        asked = {name.replace("_", "-"): value for name, value in query.items()} | {"encoding-type": "url"}
        answer = self("GET", query=asked)
        assert answer.status == 200, answer.body
        objects, prefixes, order = {}, [], []
        for each in answer.tree():
            members = {child.tag.partition("}")[2]: unquote(child.text or "") for child in each}
            if each.tag.endswith("Contents"):
                assert members["Key"] not in objects, "listed twice"
                objects[members["Key"]] = members["ETag"].strip('"')
                order.append(members["Key"])
            elif each.tag.endswith("CommonPrefixes"):
                prefixes.append(members["Prefix"])
                order.append(members["Prefix"])
        following = unquote(answer.text("NextMarker")) if answer.text("IsTruncated") == "true" else ""
        return Listing(objects, prefixes, order, following)

    def pages(self, **query: str) -> Listing:
        """All pages, put together."""
        objects: dict[str, str] = {}
        prefixes: list[str] = []
        order: list[str] = []
        while True:
            page = self.page(**query)
            assert not objects.keys() & page.objects.keys(), "on two pages"
            objects |= page.objects
            prefixes += page.prefixes
            order += page.order
            if not page.next:
                return Listing(objects, prefixes, order)
            query["marker"] = page.next
