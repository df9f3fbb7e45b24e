"""One file over HTTP, resumed where it stopped: RFC 9110 section 14 (ranges) and 13.1.5 (If-Range).

``NAME.part`` grows beside the target; ``NAME.part.json`` remembers where it came from, so that a later run goes on
with it, and only with the same bytes: the server is asked with If-Range, and sends the whole file when it changed.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

from clary.errors import UsageError, out_of_space
from clary.vision.base.files import write_json

__all__ = ["PAUSES", "Progress", "TransferError", "download", "read_small"]

Progress: TypeAlias = Callable[[str, int, int | None], object]  # what is done, bytes so far, bytes in all if known

# Seconds before each new try in a row that brought nothing; chosen.
PAUSES = (1.0, 4.0, 10.0)
# Seconds without a byte: a dead connection says nothing, and TCP by itself waits for many minutes.
_TIMEOUT = 20.0
_CHUNK = 1 << 18
# Too early, too many, or the server's own trouble (RFC 9110, 15; RFC 6585, RFC 8470); the rest would answer the same
# again.
_WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)


class TransferError(UsageError):
    """A file could not be fetched. ``status`` is the HTTP status, 0 when no answer came.

    ``resumable``: a part of the file is there, and another run can go on from it.
    """

    def __init__(self, what: str, *, where: object, hint: str = "", status: int = 0, resumable: bool = False) -> None:
        super().__init__(what, where=where, hint=hint)
        self.status = status
        self.resumable = resumable


class _TryAgain(Exception):
    """The connection broke, or the server is busy."""


@dataclass(slots=True)
class _Part:
    """What is there of a file. ``validator`` (ETag or date) names the version of it; empty if the server gave none."""

    path: Path
    url: str
    validator: str = ""
    total: int | None = None

    @property
    def state_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def complete(self) -> bool:
        return self.total is not None and self.size == self.total

    def load_state(self) -> None:
        """Take up what an earlier run left, if it came from the same address; else it is removed."""
        try:
            found: Any = json.loads(self.state_path.read_text())
            # From another address it is another file; larger than it should be, it is none of ours.
            if found["url"] == self.url and self.size <= int(found["total"]):
                self.validator, self.total = str(found["validator"]), int(found["total"])
                return
        except (OSError, ValueError, LookupError, TypeError):
            pass  # an unreadable state is as good as none: the file is fetched from its start
        self.path.unlink(missing_ok=True)

    def save_state(self) -> None:
        write_json(self.state_path, {"url": self.url, "validator": self.validator, "total": self.total})


def download(url: str, target: Path, progress: Progress | None = None, *, pauses: Sequence[float] = PAUSES) -> Path:
    """Fetch ``url`` into ``target``, which appears when it is whole; a broken connection is taken up again.

    Gives up after ``len(pauses)`` new tries in a row that came no further; what came so far stays for the next run.
    Raises TransferError (no such host, refused, not found, given up) and UsageError (disk full, no permission).
    """
    part = _Part(target.with_name(target.name + ".part"), url)
    part.load_state()
    tries, furthest = 0, part.size
    while not part.complete:
        try:
            _fetch_rest(part, progress, target.name)
            break
        except _TryAgain as reason:
            # A try that brought bytes begins the count anew: a bad line gets through a large file in many pieces.
            tries = tries + 1 if part.size <= furthest else 1
            furthest = max(furthest, part.size)
            if tries > len(pauses):
                hint = "run it again, it goes on from there" if furthest else "check the connection and run it again"
                raise TransferError(f"gave up, {reason}", where=url, hint=hint, resumable=furthest > 0) from None
            time.sleep(pauses[tries - 1])
    with _writing(target):
        os.replace(part.path, target)
        part.state_path.unlink(missing_ok=True)
    return target


def read_small(url: str, limit: int = 1 << 16) -> bytes | None:
    """The bytes of a small file; None when the server has none. Raises TransferError; no retries."""
    try:
        with _open(url, _HEADERS) as answer:
            return bytes(_read(answer, limit))
    except TransferError as error:
        if error.status in (403, 404, 410):
            return None
        raise
    except _TryAgain as reason:
        raise TransferError(str(reason), where=url, hint="run it again") from None


# identity: of a compressed answer neither length nor ranges are those of the file.
_HEADERS = {"User-Agent": "clary", "Accept-Encoding": "identity"}


def _fetch_rest(part: _Part, progress: Progress | None, name: str) -> None:
    """One request for what is missing. Raises _TryAgain when the connection breaks."""
    have = part.size
    headers = dict(_HEADERS)
    if have and part.validator:
        # Never Range alone: a file that was replaced meanwhile would be joined from two.
        headers |= {"Range": f"bytes={have}-", "If-Range": part.validator}
    with _open_rest(part, headers) as answer:
        start = _start(part, answer, have)
        if start == 0:
            part.validator = _validator(answer)
            length = answer.headers.get("Content-Length", "")
            part.total = int(length) if length.isdecimal() else None
            # Before the first byte: killed after it, the next run must know of what these bytes are a part.
            part.save_state()
        _check_space(part, start)
        _append(part, start, answer, progress, name)
    if part.total is not None and part.size < part.total:
        raise _TryAgain(f"the connection closed at {part.size:,} of {part.total:,} bytes")


def _open_rest(part: _Part, headers: dict[str, str]) -> Any:
    try:
        return _open(part.url, headers)
    except TransferError as error:
        if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
    part.path.unlink(missing_ok=True)  # the file has become shorter than what is here of it
    raise _TryAgain("the file changed meanwhile")


def _append(part: _Part, start: int, answer: Any, progress: Progress | None, name: str) -> None:
    done = start
    with _writing(part.path), part.path.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        while chunk := _read(answer):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(name, done, part.total)
        file.flush()
        # The part is renamed to its final name next: whole by its name, it must be whole on the disk.
        os.fsync(file.fileno())


def _start(part: _Part, answer: Any, have: int) -> int:
    """Where the bytes of an answer begin: at ``have``, or at 0 when the server sends the whole file."""
    # 200: the server knows no ranges, or the file is another by now (RFC 9110, 13.1.5).
    if answer.status != HTTPStatus.PARTIAL_CONTENT:
        return 0
    span, _, total = str(answer.headers.get("Content-Range", "")).removeprefix("bytes ").partition("/")
    if span.split("-")[0] == str(have) and total == str(part.total):
        return have
    part.path.unlink(missing_ok=True)
    raise _TryAgain("the server sent another part than asked for")


def _open(url: str, headers: dict[str, str]) -> Any:
    """The answer to a request. Raises TransferError for what another try cannot mend, else _TryAgain."""
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _WORTH_A_RETRY:
            raise _TryAgain(f"the server answers {error.code} {error.reason}") from None
        raise _refused(url, f"the server answers {error.code} {error.reason}", error.code) from None
    except urllib.error.URLError as error:
        reason = error.reason
        # A wrong name, a closed port, a certificate: the next try would fail in the same way.
        if isinstance(reason, (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError, str)):
            raise _refused(url, f"cannot be reached ({_said(reason)})") from None
        raise _TryAgain(f"the connection broke ({_said(reason)})") from None
    except (ValueError, http.client.InvalidURL) as error:
        raise _refused(url, f"is no address ({error})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"the connection broke ({_said(error)})") from None


def _refused(url: str, what: str, status: int = 0) -> TransferError:
    return TransferError(what, where=url, hint="check the address and the connection", status=status)


def _said(reason: object) -> str:
    if isinstance(reason, socket.gaierror):
        return "no such host, or no network"
    return (isinstance(reason, OSError) and reason.strerror) or str(reason) or type(reason).__name__


def _read(answer: Any, size: int = _CHUNK) -> bytes:
    try:
        return bytes(answer.read(size))
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"the connection broke ({_said(error)})") from None


def _validator(answer: Any) -> str:
    """What If-Range may name: a strong ETag, else the date. Without one the file cannot be resumed safely."""
    tag = str(answer.headers.get("ETag", ""))
    # A weak tag, W/"...", says alike and not equal, and If-Range must not name it (RFC 9110, 13.1.5).
    return tag if tag.startswith('"') else str(answer.headers.get("Last-Modified", ""))


def _check_space(part: _Part, start: int) -> None:
    # Before the first byte, not after the last gigabyte that fits.
    free = shutil.disk_usage(part.path.parent).free
    if part.total is not None and part.total - start > free:
        need = f"needs {part.total - start:,} bytes, {free:,} are free"
        raise UsageError(need, where=part.path.parent, hint="free some space and run it again")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if out_of_space(error):
            hint = "free some space and run it again, it goes on from there"
            raise UsageError("the disk is full", where=path, hint=hint) from error
        hint = "choose a folder you may write to"
        raise UsageError(f"cannot be written ({error.strerror})", where=path, hint=hint) from error
