"""``clary lab``: a real JupyterLab, whose kernels inherit its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clary.client import gateway

pytestmark = pytest.mark.slow
CODE = "import os; print(os.environ['AWS_ENDPOINT_URL'])"


@pytest.fixture
def lab(platform_home: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the running JupyterLab says of itself: its url, its token."""
    pytest.importorskip("jupyterlab")
    config, runtime, notebooks = (tmp_path / name for name in ("config", "runtime", "notebooks"))
    for folder in (config, notebooks):
        folder.mkdir()
    (config / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JUPYTER_"))}
    environ |= {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(runtime)}
    command = [sys.executable, "-m", "clary", "lab", str(notebooks), "--home", str(platform_home), "--port", "0"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--no-browser"], env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not (found := list(runtime.glob("jpserver-*.json"))):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            threading.Event().wait(0.1)
        yield json.loads(found[0].read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not list(runtime.glob("jpserver-*.json"))


def test_a_kernel_is_connected(lab, platform_home):
    websocket = pytest.importorskip("websocket")
    request = urllib.request.Request(f"{lab['url']}api/kernels?token={lab['token']}", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        kernel = json.load(response)["id"]
    address = lab["url"].replace("http", "ws", 1) + f"api/kernels/{kernel}/channels?token={lab['token']}"
    channels = websocket.create_connection(address, timeout=60)
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "s", "username": "", "version": "5.3"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": CODE}, "channel": "shell"}
    channels.send(json.dumps(message))
    printed = ""
    while not printed.endswith("\n"):
        answer = json.loads(channels.recv())
        if answer["msg_type"] == "stream":
            printed += answer["content"]["text"]
    channels.close()
    assert printed == f"{gateway.running(platform_home).url}\n"
