"""Server-side encryption: what is asked for is kept and said again; the bytes stay plain files of this machine.

S3 gives back the plain bytes to whoever may read them, so for programs nothing differs (docs/decisions/0015). With a
key of the client's own it would: without that key S3 gives nothing, so what we could not keep secret is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = ["ALGORITHMS", "SSE", "encryption_headers", "refuse_customer_keys"]

SSE = "x-amz-server-side-encryption"
# The SageMaker SDK v2 asks for aws:kms with every source archive it uploads: refused, none of its programs would run.
ALGORITHMS = ("AES256", "aws:kms", "aws:kms:dsse")
_KEY = f"{SSE}-aws-kms-key-id"
_OF_KMS = (_KEY, f"{SSE}-bucket-key-enabled")
_CUSTOMER = (f"{SSE}-customer-", "x-amz-copy-source-server-side-encryption-customer-")


def refuse_customer_keys(headers: Mapping[str, str]) -> None:
    """Raises ServiceError NotImplemented for SSE-C."""
    for name in headers:
        if name.startswith(_CUSTOMER):
            text = f"{name}: Clary encrypts nothing with a client's key (SSE-C), objects are plain files; leave it out"
            raise ServiceError("NotImplemented", text, status=501)


def encryption_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a request's or an object's headers those about encryption, which answers repeat.

    Raises ServiceError InvalidArgument for an algorithm that S3 does not know, or a key without aws:kms.
    """
    algorithm = headers.get(SSE, "")
    if algorithm and algorithm not in ALGORITHMS:
        raise invalid_argument(SSE, algorithm, "The encryption method specified is not supported")
    if headers.get(_KEY) and not algorithm.startswith("aws:kms"):
        raise invalid_argument(_KEY, headers[_KEY], f"{_KEY} goes only with {SSE}: aws:kms")
    names = (SSE, *_OF_KMS) if algorithm.startswith("aws:kms") else (SSE,)
    return {name: headers[name] for name in names if headers.get(name)}
