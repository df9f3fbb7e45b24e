"""Every error Clary raises on purpose.

    ClaryError                       exit code 1
    ├── CustomerError                exit code 2: the user can mend it
    │   ├── UsageError               a path, port or option that cannot be used
    │   ├── DataError                a record of a data set, named by file and line
    │   │   └── ImageError           bytes that are no picture, or a picture that cannot be used
    │   ├── HyperparameterError      SageMaker's wording, all mistakes of a request together
    │   ├── ArtifactError            a model archive that cannot be opened
    │   ├── WeightsError             pretrained weights asked for and not to be had
    │   │   └── AbsentWeightsError   they could be, but are not on this machine
    │   ├── MissingPackageError      an optional package, and the extra that brings it
    │   └── RequestError             a call to an endpoint
    │       ├── UnsupportedMediaTypeError    HTTP 415
    │       ├── NotAcceptableError           HTTP 406
    │       ├── TooLargeError                HTTP 413
    │       ├── ArrivalError                 HTTP 408
    │       └── BusyError                    HTTP 503
    ├── AlgorithmError               the run cannot go on, and no setting is plainly at fault
    │   └── DivergedError            loss is no longer a finite number
    └── InterruptedRun               stopped on request at a step; everything is saved

A message is one line: where, what, and how to mend it. ``str(error)`` joins the three.
"""

from __future__ import annotations

import errno

__all__ = [
    "AbsentWeightsError",
    "AlgorithmError",
    "ArrivalError",
    "ArtifactError",
    "BusyError",
    "ClaryError",
    "CustomerError",
    "DataError",
    "DivergedError",
    "HyperparameterError",
    "ImageError",
    "InterruptedRun",
    "MissingPackageError",
    "NotAcceptableError",
    "RequestError",
    "TooLargeError",
    "UnsupportedMediaTypeError",
    "UsageError",
    "WeightsError",
    "one_line",
    "out_of_space",
]

# SQLite's SQLITE_FULL, of which the extended codes keep the low byte, and PostgreSQL's disk_full.
_SQLITE_FULL, _POSTGRESQL_FULL = 13, "53100"


class ClaryError(Exception):
    """Root of the tree. ``what`` is the fault, ``where`` names file, line or option, ``hint`` is the way out."""

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", hint: str = "") -> None:
        self.what = what
        self.where = str(where)
        self.hint = hint
        text = f"{self.where}: {what}" if self.where else what
        super().__init__(one_line(f"{text}; {hint}" if hint else text))


def one_line(text: str) -> str:
    """``text`` as it can be printed: what is no printable character (from a file name, say) is escaped."""
    # A line end in a file's name would be a second line of a log that programs read line by line.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def out_of_space(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, is a full disk or quota: by numbers of the system and of databases, never
    by wording, which is the system's language."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_FULL:
            return True
        if getattr(error, "sqlstate", None) == _POSTGRESQL_FULL:
            return True
        # SQLAlchemy's own errors have the driver's in `orig`.
        inner = getattr(error, "orig", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__
    return False


class CustomerError(ClaryError):
    """The input is wrong. A training job reports it as ``ClientError`` and exits with 2."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in the place of a traceback: the fault is in what was given, and the line says where."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(CustomerError):
    """A path, port or option that cannot be used as asked."""


class DataError(CustomerError):
    """A record of a data set cannot be used. Likely cause: an annotation edited by hand."""


class ImageError(DataError):
    """Bytes that are no picture, or a picture beyond the limits."""


class HyperparameterError(CustomerError):
    """One or more hyperparameters are unknown, missing or out of range."""


class ArtifactError(CustomerError):
    """A model archive is damaged, unsafe, or of another version."""


class WeightsError(CustomerError):
    """Pretrained weights were asked for and are not to be had here. Never replaced by random ones."""


class AbsentWeightsError(WeightsError):
    """Nothing is wrong with what was asked for: its weights are not on this machine, and cannot be fetched."""


class MissingPackageError(CustomerError):
    """An optional package is not installed. ``hint`` names the extra that brings it."""


class RequestError(CustomerError):
    """A request to an endpoint is wrong. ``status`` is the HTTP status to answer with."""

    status = 400


class UnsupportedMediaTypeError(RequestError):
    """The ``Content-Type`` of a request is none of those the model takes."""

    status = 415


class NotAcceptableError(RequestError):
    """The ``Accept`` of a request names no type the model can answer with."""

    status = 406


class TooLargeError(RequestError):
    """The body of a request is larger than the endpoint takes."""

    status = 413


class BusyError(RequestError):
    """More requests wait than are held, or will be answered in time; the same request will do in ``retry_after``
    seconds."""

    status = 503

    def __init__(self, what: str, *, retry_after: int = 1) -> None:
        seconds = "a second" if retry_after == 1 else f"{retry_after} seconds"
        super().__init__(what, hint=f"try again in {seconds}")
        self.retry_after = retry_after


class ArrivalError(RequestError):
    """The body of a request did not come in time."""

    status = 408


class AlgorithmError(ClaryError):
    """The run cannot go on. A training job reports it as ``AlgorithmError`` and exits with 1."""


class DivergedError(AlgorithmError):
    """The loss is no longer a finite number. Likely cause: the learning rate is too high."""


class InterruptedRun(ClaryError):
    """The run was asked to stop, did so at a step, and saved a checkpoint to go on from."""

    # 128 + SIGINT, as shells have it.
    exit_code = 130
