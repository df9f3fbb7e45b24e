"""The server killed in the middle of uploads: what it acknowledged is there and whole, and nothing else is shown."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.control.objects.base import NoSuchKey
from clary.control.objects.local import LocalStore

ROUNDS = 10
# Of each writer: plain files, keys below them, and keys that are no path.
KEYS = ["0", "0/x", "0/", "1//y", "2", "../3", "4" * 256]
LARGE = 5000  # bytes of a header, which no extended attribute holds
SERVER = """
import sys, uvicorn
from pathlib import Path
from clary.control.objects.s3_app import S3App
from clary.control.objects.base import NoSuchKey
from clary.control.objects.local import LocalStore
app = S3App(LocalStore(Path(sys.argv[1])), account="000000000000", region="us-east-1")
config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
listener = config.bind_socket()
listener.listen()
print(listener.getsockname()[1], flush=True)
uvicorn.Server(config).run(sockets=[listener])
"""


class Writer(threading.Thread):
    """Puts, replaces and deletes objects of its own until the server is gone; notes what must be there.

    ``known`` maps a key to every content it may have: one, but for the write that was under way at the end.
    """

    def __init__(
        self, s3: Any, number: int, known: dict[str, set[bytes | None]], progress: threading.Semaphore
    ) -> None:
        super().__init__()
        self._s3, self._number, self.known, self._progress = s3, number, known, progress
        self._random = random.Random(number + os.getpid())

    def run(self) -> None:
        from botocore.exceptions import BotoCoreError

        try:
            while True:
                self._step()
                self._progress.release()
        except BotoCoreError:
            return

    def _step(self) -> None:
        key = f"w{self._number}/{self._random.choice(KEYS)}"
        here = {"Bucket": "box", "Key": key}
        before = self.known.setdefault(key, {None})
        if self._random.random() < 0.15:
            before.add(None)
            self._s3.delete_object(**here)
            self.known[key] = {None}
            return
        data = self._random.randbytes(self._random.choice([10, 30_000, 400_000]))
        before.add(data)
        if self._random.random() < 0.2:
            upload = self._s3.create_multipart_upload(**here)["UploadId"]
            etag = self._s3.upload_part(**here, UploadId=upload, PartNumber=1, Body=data)["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            self._s3.complete_multipart_upload(**here, UploadId=upload, MultipartUpload=parts)
        else:
            large = hashlib.md5(data).hexdigest()[:1] * LARGE if self._random.random() < 0.5 else ""
            self._s3.put_object(**here, Body=data, CacheControl=large)
        self.known[key] = {data}


@pytest.mark.slow
def test_no_acknowledged_object_is_lost_or_torn(tmp_path: Path, client: Callable[..., Any]) -> None:
    store = LocalStore(tmp_path / "s3")
    store.create_bucket("box", "us-east-1")
    known: list[dict[str, set[bytes | None]]] = [{} for _ in range(4)]
    for round_ in range(ROUNDS):
        words = [sys.executable, "-c", SERVER, str(store.root)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            s3 = client(f"http://127.0.0.1:{server.stdout.readline().strip()}", read_timeout=10, connect_timeout=5)
            progress = threading.Semaphore(0)
            writers = [Writer(s3, number, known[number], progress) for number in range(4)]
            for writer in writers:
                writer.start()
            for _ in range(20 + round_):
                assert progress.acquire(timeout=30)
            server.send_signal(signal.SIGKILL)
            for writer in writers:
                writer.join()
            s3.close()
        for each in known:
            check(store, each)
        assert {each.key for each in store.list("box")} <= {key for each in known for key in each}


def check(store: LocalStore, known: dict[str, set[bytes | None]]) -> None:
    """Every key holds what it must, and from now on must hold that."""
    for key, values in known.items():
        content = None
        try:
            found = store.open_object("box", key)
        except NoSuchKey:
            pass
        else:
            content = os.pread(found.descriptor, 1 << 20, 0) if found.size else b""
            found.close()
            etag = hashlib.md5(content).hexdigest()
            assert found.metadata.upload or found.metadata.etag == etag
            large = found.metadata.headers.get("cache-control")
            assert large in (None, etag[:1] * LARGE)
        assert content in values, key
        known[key] = {content}
