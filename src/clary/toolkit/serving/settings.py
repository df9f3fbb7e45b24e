"""What the container's variables say to the server of a user's code. Source: job-contract 4.3; sagemaker-inference,
sagemaker-pytorch-inference, environment.py; TorchServe's and MMS's own variables, which public notebooks set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clary.errors import CustomerError

__all__ = ["ServingSettings"]

_WORKERS = ("SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_TS_MAX_WORKERS", "SAGEMAKER_TS_MIN_WORKERS")
_TIMEOUTS = (
    "SAGEMAKER_MODEL_SERVER_TIMEOUT",
    "SAGEMAKER_TS_RESPONSE_TIMEOUT",
    "TS_DEFAULT_RESPONSE_TIMEOUT",
    "MMS_DEFAULT_RESPONSE_TIMEOUT",
)
_MEGABYTES = ("SAGEMAKER_MAX_PAYLOAD_IN_MB",)
_BYTES = ("SAGEMAKER_MAX_REQUEST_SIZE", "TS_MAX_REQUEST_SIZE", "MMS_MAX_REQUEST_SIZE")
_OF_THE_MODEL_SERVER = ("SAGEMAKER_TS_", "TS_", "MMS_")
MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """``workers`` processes have a model each. A call that takes more than ``timeout`` seconds ends its process.
    ``most`` bytes may a body have, 0: any number. ``without_effect`` are the names of variables that were set and do
    nothing."""

    workers: int = 1
    timeout: float = 60.0
    most: int = 6 << 20
    without_effect: tuple[str, ...] = ()

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> ServingSettings:
        """Raises CustomerError naming the variable that is no whole number."""
        workers = _first(variables, _WORKERS)
        timeout = _first(variables, _TIMEOUTS)
        megabytes, count = _first(variables, _MEGABYTES), _first(variables, _BYTES)
        most = cls().most if megabytes is None and count is None else (megabytes or 0) << 20 if count is None else count
        return cls(
            workers=min(max(workers or 1, 1), MOST_WORKERS),
            timeout=float(timeout or cls().timeout),
            most=most,
            without_effect=tuple(sorted(_without_effect(variables))),
        )


def _first(variables: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    """The number of the first that is set."""
    for name in names:
        text = variables.get(name, "").strip()
        if not text:
            continue
        if not text.isascii() or not text.isdigit() or len(text) > 12:
            what = f"is {ascii(text)[:60]}, not a whole number"
            raise CustomerError(what, where=name, hint="set it to a number or not at all")
        return int(text)
    return None


def _without_effect(variables: Mapping[str, str]) -> Iterator[str]:
    known = {*_WORKERS, *_TIMEOUTS, *_BYTES}
    for name, value in variables.items():
        if name.startswith(_OF_THE_MODEL_SERVER) and name not in known and value not in ("", "1"):
            yield name
