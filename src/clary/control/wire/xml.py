"""XML as the services write it, with nothing of their descriptions: the object store needs these words, too."""

from __future__ import annotations

import re

from clary.control.wire.errors import ServiceError

__all__ = ["HOST_ID", "escaped", "s3_error"]

# S3 tells with it which of its machines answered; here there is one. Clients print it, and it must be there.
HOST_ID = "clary"

# What XML 1.0 cannot hold at all. Escaped or not: a parser must refuse a document that holds one of these.
IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Every character but those that stay as they are: most texts have none, and a page of a list has 7,000 texts.
_TOUCHED = re.compile("[^\t\n\u0020-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """``text`` as the content of an element; what XML cannot hold becomes U+FFFD."""
    if not _TOUCHED.search(text):
        return text
    text = IMPOSSIBLE.sub("\ufffd", text)
    # A parser reads CR LF, and CR alone, as LF (XML 1.0, 2.11) unless CR is written as a reference.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def s3_error(error: ServiceError, resource: str, request_id: str) -> bytes:
    """The document of an error of S3; ``resource`` is the path that was asked for.

    Members of the error that are text become elements of their own, which clients read: Condition, ArgumentName,
    ActualObjectSize ...
    """
    more = "".join(f"<{name}>{escaped(text)}</{name}>" for name, text in error.members.items() if isinstance(text, str))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escaped(error.code)}</Code>'
        f"<Message>{escaped(error.message)}</Message>{more}<Resource>{escaped(resource)}</Resource>"
        f"<RequestId>{request_id}</RequestId><HostId>{HOST_ID}</HostId></Error>"
    ).encode()
