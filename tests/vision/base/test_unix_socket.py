from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from clary.vision.base.unix_socket import bind_private


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a socket's file the rights of the socket")
def test_nobody_else_can_connect_from_the_first_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)  # which comes an instant later
    before = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            bind_private(listener, tmp_path / "s.sock")
            assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
