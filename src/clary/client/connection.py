"""Calls of the gateway's AWS operations by the command line: signed JSON over one connection.

botocore's client would load the whole description of SageMaker, which takes longer than any of these verbs; of
botocore only the signature is used.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from clary.client import environment, gateway
from clary.control.home import Server
from clary.errors import MissingPackageError, UsageError

__all__ = ["Connection", "connect"]

_TARGETS = {"sagemaker": "SageMaker", "logs": "Logs_20140328"}
_TIMEOUT = 30.0  # seconds


class Connection:
    """A connection to a running gateway. Its methods raise UsageError with the service's own message when an
    operation is refused, NotRunningError when the gateway does not answer.
    """

    def __init__(self, server: Server) -> None:
        place = urlsplit(server.url)
        self.server = server
        # One connection for all pages, and no package that takes longer to import than the answer.
        self._http = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def call(self, service: str, operation: str, /, **members: Any) -> dict[str, Any]:
        """The answer of ``operation`` of ``service`` ("sagemaker" or "logs"); times in it are epoch seconds."""
        body = json.dumps(members).encode()
        headers = self._signed(service, f"{_TARGETS[service]}.{operation}", body)
        try:
            self._http.request("POST", "/", body, headers)
            response = self._http.getresponse()
            answer = _parsed(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise gateway.unreachable(self.server, str(error) or type(error).__name__) from error
        if response.status == 200:
            return answer
        # Services differ in how they write it.
        message = answer.get("message") or answer.get("Message") or f"HTTP {response.status}"
        raise UsageError(str(message), where=operation)

    def pages(self, service: str, operation: str, member: str, /, **members: Any) -> Iterator[dict[str, Any]]:
        """The elements of the list ``member``, page after page, as they are asked for."""
        while True:
            answer = self.call(service, operation, **members)
            yield from answer.get(member, ())
            # CloudWatch Logs spells it with a small letter.
            token = next((name for name in ("NextToken", "nextToken") if answer.get(name)), None)
            if token is None:
                return
            members[token] = answer[token]

    def _signed(self, service: str, target: str, body: bytes) -> dict[str, str]:
        try:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.credentials import Credentials
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"the platform needs {error.name}", hint='pip install "clary[platform]"'
            ) from error
        # Signed also where the gateway asks for no signature: which service is meant stands in it.
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        request = AWSRequest("POST", self.server.url + "/", headers=headers, data=body)
        keys = Credentials(*environment.keys(Path(self.server.home)))
        SigV4Auth(keys, service, self.server.region).add_auth(request)
        return dict(request.headers.items())


def connect(home: Path) -> Connection:
    """A connection to the gateway of ``home``. Raises NotRunningError when none runs."""
    return Connection(gateway.running(home))


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
