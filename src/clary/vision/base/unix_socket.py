"""Sockets that are files: who may write to the file may connect (unix(7))."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from clary.vision.base.files import PRIVATE

__all__ = ["bind_private"]


def bind_private(listener: socket.socket, path: Path) -> None:
    """Bind a UNIX socket to ``path``, to which this user alone can connect from the first instant. Raises OSError."""
    # Linux makes the file with the rights of the open socket. Elsewhere that is refused (EINVAL), and the rights come a
    # moment later: the folder has to be private, which ours are.
    with suppress(OSError):
        os.fchmod(listener.fileno(), PRIVATE)
    listener.bind(str(path))
    path.chmod(PRIVATE)
