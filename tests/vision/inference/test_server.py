"""What a server does besides answering."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, resource, signal, socket
from contextlib import asynccontextmanager
from clary.vision.inference import server

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})

async def ask(port):
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print((await reader.readline()).decode().strip(), flush=True)
    for one in (writer, *(writer for _, writer in idle)):
        one.close()
    os.kill(os.getpid(), signal.SIGTERM)

@asynccontextmanager
async def opening():
    asking = asyncio.create_task(ask(listener.getsockname()[1]))
    yield app
    await asking

with server.bind("127.0.0.1", 0) as listener:
    server.run_within(opening, listener)
"""


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1000, reason="no more files are allowed here")
def test_more_connections_than_a_shell_allows_files():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "HTTP/1.1 204 No Content\n", "")
