"""The log stream of one variant: /aws/sagemaker/Endpoints/<endpoint>, <variant>/<instance id>."""

from __future__ import annotations

import secrets

from clary.control.logs.streams import LogStore, LogWriter

__all__ = ["VariantLog", "group"]


def group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class VariantLog:
    """Opened with the first line. A disk that takes no more lines costs these, never the endpoint."""

    def __init__(self, logs: LogStore, endpoint: str, variant: str) -> None:
        self._logs = logs
        # The form of SageMaker's streams, whose instance ids have 17 hexadecimal digits.
        self._place = group(endpoint), f"{variant}/i-{secrets.token_hex(9)[:17]}"
        self._writer: LogWriter | None = None
        self._lost = 0

    def write(self, *lines: str) -> None:
        """Append lines; those that do not fit on the disk are counted, and the count is told later."""
        told = (f"({self._lost} lines could not be written)",) if self._lost else ()
        try:
            if self._writer is None:
                self._writer = self._logs.writer(*self._place)
            self._writer.write(*told, *lines)
            self._lost = 0
        except OSError:
            self._lost += len(lines)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
