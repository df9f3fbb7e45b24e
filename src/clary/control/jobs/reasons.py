"""FailureReason: why a training job failed, in SageMaker's form.

    <class>: <what happened>, exit code: <n>

The class is ClientError where the customer can mend it, AlgorithmError where the program failed, InternalServerError
where the platform did. A program that leaves ``output/failure`` says what happened in its own words.
"""

from __future__ import annotations

import os
import re
import signal as signals
import stat
from pathlib import Path

from clary.control.wire.errors import ServiceError
from clary.errors import ClaryError, CustomerError, out_of_space
from clary.vision.base.memory import SMALLER
from clary.vision.base.tree import opened

__all__ = ["DISK_FULL", "LIMIT", "of_error", "of_exit", "read_failure", "with_place"]

LIMIT = 1024  # characters of FailureReason
DISK_FULL = "InternalServerError: the disk is full: free some space and create the job again"

_CLASS = re.compile(r"(ClientError|AlgorithmError|InternalServerError|CapacityError): ?")
_CODE = re.compile(r"exit code: -?\d+\.?$", re.IGNORECASE)
_HEAD = 8 << 10  # bytes of the failure note that are read; 1024 characters are at most 4096


def of_exit(
    code: int | None = None,
    signal: int | None = None,
    *,
    out_of_memory: bool = False,
    failure: str = "",
    error: str = "",
) -> str:
    """The reason for a program that ended with ``code``, or by ``signal``.

    ``failure`` is the text of output/failure, ``error`` why the program could not be started, or have its data, at all.
    """
    if error:
        return _fitted(error if _CLASS.match(error) else f"InternalServerError: {error}")
    # As a shell says it, and so a container's exit code.
    code = 128 + signal if signal else code or 0
    if out_of_memory:
        text = f"killed, out of memory: {SMALLER}"
        failure = f"{failure.strip()} ({text})" if failure.strip() else text
    elif signal and not failure.strip():
        failure = f"killed by signal {_signal_name(signal)}"
    return _worded(failure.strip(), code)


def of_error(error: Exception) -> str:
    """The reason for a job that could not be prepared or whose output could not be stored."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError):
        text = f"{error.filename or 'the job'}: {error.strerror or text}"
    elif not isinstance(error, ClaryError):
        text = f"{type(error).__name__}: {text}"
    if _CLASS.match(text):
        return _fitted(text)
    return _fitted(f"{'ClientError' if _is_customers(error) else 'InternalServerError'}: {text}")


def with_place(reason: str, place: Path | None) -> str:
    """``reason``, and where what could not be stored lies now."""
    return _fitted(reason, f"; what the job left is kept in {place}") if place else reason


def read_failure(folder: Path, note: str) -> str:
    """What a program left in the file ``note`` below ``folder`` (a host's): its first characters, or nothing.

    Whatever else a program may have put there (a link, a pipe), or in place of a folder above it, is not followed but
    named.
    """
    *parts, name = note.split("/")
    try:
        with opened(folder, *parts) as tree:
            # O_NONBLOCK: to open a FIFO waits for whoever writes to it, and that may be nobody.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=tree.descriptor)
    except CustomerError as error:
        return f"no failure note was read: {Path(error.where).relative_to(folder)} {error.what}"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"no failure note was read: {note} is no file ({error.strerror})"
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return f"no failure note was read: {note} is no file"
        return os.read(file, _HEAD).decode(errors="replace").replace("\0", "").strip()[:LIMIT]
    finally:
        os.close(file)


def _is_customers(error: Exception) -> bool:
    if isinstance(error, ServiceError):
        return error.status < 500
    return isinstance(error, CustomerError) and not out_of_space(error)


def _worded(text: str, code: int) -> str:
    if not _CLASS.match(text):
        # 2 is how the algorithms here end on a mistake of the customer's (algorithms.run).
        text = f"{'ClientError' if code == 2 else 'AlgorithmError'}: {text}"
    # The code at the end is seen in reasons of real jobs, and documented nowhere.
    return _fitted(text) if _CODE.search(text) else _fitted(text, f", exit code: {code}")


def _fitted(text: str, tail: str = "") -> str:
    """Both together in LIMIT characters; it is the text that is cut."""
    return text[: LIMIT - len(tail)] + tail


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signals.Signals(number).name})"
    except ValueError:
        return str(number)
