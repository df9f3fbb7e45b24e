"""The chain of signatures over the pieces of an ``aws-chunked`` body, and over the headers behind it.

Each is made of the one before; the first goes on from the request's own. Source: Amazon S3 API reference, "Signature
calculations for the authorization header", the pages on payloads in multiple chunks, without and with trailing headers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from clary.control.wire.sigv4_header import Refused

__all__ = ["SIGNED_PAYLOAD", "TRAILER_SIGNATURE", "ChunkSignatures"]

SIGNED_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
TRAILER_SIGNATURE = "x-amz-trailer-signature"
EMPTY = hashlib.sha256(b"").hexdigest()
_EXTENSION = b"chunk-signature="


class ChunkSignatures:
    """Told of a body piece by piece, as it is read; every method raises Refused where a signature is false or missing.

    Per piece ``begin``, ``update`` as often as it takes, ``end``; behind the last one, which is empty, ``finish``.
    """

    def __init__(self, key: bytes, stamp: str, scope: str, seed: str, *, trailer: bool) -> None:
        """``key`` signs; ``stamp`` is the time of signing, ``scope`` the credential's without its key.

        ``seed`` is the signature of the request; ``trailer`` whether the headers behind the body are signed too.
        """
        self._key, self._place, self._previous = key, f"{stamp}\n{scope}", seed
        self._trailer = trailer
        self._signature = ""
        self._hash = hashlib.sha256()

    def begin(self, extension: bytes) -> None:
        """A piece whose line has ``extension`` behind the length and the semicolon."""
        if not extension.startswith(_EXTENSION):
            raise _false("A chunk of the body has no signature.")
        self._signature = extension.removeprefix(_EXTENSION).decode("latin-1").strip()
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def end(self) -> None:
        self._check("AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY}\n{self._hash.hexdigest()}", self._signature)

    def finish(self, trailers: Mapping[str, str]) -> None:
        """``trailers`` by lower-case name, their own signature among them."""
        signed = {name: value for name, value in trailers.items() if name != TRAILER_SIGNATURE}
        if not self._trailer:
            # Whoever passes a request on could add a checksum here that the sender never announced.
            if trailers:
                raise _false("Headers behind the body are not signed by this kind of signature.")
            return
        text = "".join(f"{name}:{value}\n" for name, value in sorted(signed.items()))
        digest = hashlib.sha256(text.encode("latin-1")).hexdigest()
        self._check("AWS4-HMAC-SHA256-TRAILER", digest, trailers.get(TRAILER_SIGNATURE, ""))

    def _check(self, kind: str, digests: str, given: str) -> None:
        text = f"{kind}\n{self._place}\n{self._previous}\n{digests}"
        expected = hmac.digest(self._key, text.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise _false("The signature of a chunk we calculated does not match the one you provided.")
        self._previous = expected


def _false(text: str) -> Refused:
    return Refused("SignatureDoesNotMatch", text)
