"""A worker process as the gateway holds it: started, given its model, asked, stopped; its output kept and logged."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from clary.control.hosting.assignment import command
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.log import VariantLog
from clary.control.hosting.probe import CONTENT_TYPE, IMAGE
from clary.vision.base import unix_socket

__all__ = ["STOP_GRACE", "Reply", "Worker", "WorkerDied"]

STOP_GRACE = 30.0  # seconds between SIGTERM and SIGKILL, as SageMaker's
# Less than the server's, else a call could go out on a connection that is just being closed.
_KEEP_ALIVE = 4.0  # seconds; the worker's server closes idle connections after 5
_PING_PAUSE = 0.25
_LAST_WORDS = 5.0  # seconds a worker that closed its socket has to say why
_LOOK = 0.25  # seconds between two looks at whether a process has ended
_LINES_KEPT = 50  # of output, to tell why a worker ended

# Headers that aiohttp would add and the client did not send.
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker answered, and in how many seconds."""

    status: int
    body: bytes
    headers: CIMultiDictProxy[str]
    seconds: float


class WorkerDied(Exception):
    """The connection broke before there was an answer."""


class Worker:
    """One worker process. Made by ``spawn``; used in one event loop.

    ``warm`` says that it was started before there was a model for it. ``ended`` is set once the process is gone.
    """

    def __init__(self, process: asyncio.subprocess.Process, path: Path) -> None:
        self.warm = False
        self.ended = asyncio.Event()
        self._process = process
        self._path = path
        self._log: VariantLog | None = None
        self._note: Path | None = None
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        # A socket file, no port: nobody else can be listening there, and only this user can connect. No limit: the
        # worker itself says 503 when it holds enough.
        connector = aiohttp.UnixConnector(str(path), limit=0, keepalive_timeout=_KEEP_ALIVE)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self._watch = asyncio.create_task(self._watched())

    @classmethod
    async def spawn(
        cls,
        folder: Path,
        environment: Mapping[str, str],
        *,
        words: Callable[[int], list[str]] = command,
        inherited: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a process that waits for an assignment; its socket lies in ``folder``.

        ``words`` gives its command line for the number of that socket's file. ``environment`` stands over what is
        ``inherited``: the gateway's own environment unless another is given.
        """
        path = folder / f"worker-{secrets.token_hex(6)}.sock"
        # Bound here, so that a connection made at any time waits for the worker, or fails when it is gone.
        with socket.socket(socket.AF_UNIX) as listener:
            unix_socket.bind_private(listener, path)
            listener.listen(1024)
            process = await asyncio.create_subprocess_exec(
                *words(listener.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # The gateway's own below: PATH, proxies, CUDA_VISIBLE_DEVICES are the machine's.
                env={**(os.environ if inherited is None else inherited), **environment},
                pass_fds=[listener.fileno()],
                start_new_session=True,  # a Ctrl-C for the gateway is none for its workers
            )
        return cls(process, path)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it can still be given a model, as far as is known: a process may end unnoticed for a moment."""
        stdin = self._process.stdin
        gone = self.ended.is_set() or self._process.returncode is not None
        return not gone and stdin is not None and not stdin.is_closing()

    def assign(self, line: bytes, log: VariantLog, note: Path | None = None) -> None:
        """Tell the worker what to serve and where its output goes. Raises StartFailed when it has ended.

        ``note`` is a file in which it may say at length why it ends.
        """
        self._log, self._note = log, note
        # What it printed while it was nobody's belongs to the first who takes it.
        self._write_log(*self._lines)
        if not self.usable:
            raise StartFailed(self.exit_reason())
        assert self._process.stdin is not None
        self._process.stdin.write(line)

    async def serving(self, limit: float, *, predicts: bool = True) -> None:
        """Return once the worker has answered a ping and, where it ``predicts`` pictures, one. Raises StartFailed.

        ``limit`` is in seconds. The worker is left as it is.
        """
        try:
            async with asyncio.timeout(limit):
                # A connection waits in the socket's queue until the worker accepts: the first ping is the wait.
                while (await self._request("GET", "/ping")).status != 200:
                    await asyncio.sleep(_PING_PAUSE)
                if not predicts:
                    return
                # The first prediction compiles and touches everything; the first client must not wait for that, nor be
                # the one to find that the model cannot predict.
                reply = await self.post(IMAGE, {"Content-Type": CONTENT_TYPE})
        except TimeoutError:
            raise StartFailed(f"did not pass the ping health check within {limit:g} seconds") from None
        except WorkerDied:
            # Its last line of output says why, and may come after the socket broke.
            await self._gone(_LAST_WORDS)
            await self.kill()
            raise StartFailed(self.exit_reason(), details=self._account()[1]) from None
        if reply.status != 200:
            said = reply.body.decode(errors="replace")[:500]
            raise StartFailed(f"answered a first picture with {reply.status}: {said}")

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The answer of POST /invocations. Raises WorkerDied when the connection breaks."""
        return await self._request("POST", "/invocations", body, headers)

    async def alive(self, limit: float) -> bool:
        """Whether it answers a ping within ``limit`` seconds."""
        try:
            async with asyncio.timeout(limit):
                await self._request("GET", "/ping")
        except (TimeoutError, WorkerDied):
            return False
        return True

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """SIGTERM, after ``grace`` seconds SIGKILL; returns once the process is gone."""
        try:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await self._gone(grace)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL; returns once the process is gone and its output is logged."""
        if self._process.returncode is None:
            self._process.kill()
        await self._gone(None)

    def exit_reason(self) -> str:
        """Why the process ended: its own account, its last line, or its exit code or signal."""
        code = self._process.returncode
        if code and (account := self._account()[0]):
            return account
        said = next((line for line in reversed(self._lines) if line.strip()), "")
        if code is not None and code < 0:
            return f"the worker was ended by {_signal_name(-code)}"
        if code is None:
            return "the worker ended before it had a model"
        return said.removeprefix("error: ") if code and said else f"the worker ended with exit code {code}"

    def _account(self) -> tuple[str, str]:
        """What the worker wrote down of why it ends, in a line and at length; empty where it did not."""
        try:
            text = "" if self._note is None else self._note.read_text(errors="replace")
        except OSError:
            text = ""
        first, _, rest = text.partition("\n")
        return first, rest

    async def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        began = time.perf_counter()
        if self.ended.is_set():
            raise WorkerDied
        try:
            async with self._session.request(
                method,
                f"http://worker{path}",
                data=None if body is None else io.BytesIO(body),  # aiohttp sends it in pieces
                headers=CIMultiDict(headers or {}),
                skip_auto_headers=_NOT_ADDED,
                allow_redirects=False,
                timeout=_NO_TIMEOUT,
            ) as response:
                answer = await response.read()
                return Reply(response.status, answer, response.headers, time.perf_counter() - began)
        # Nothing of an answer came, or half of one: the caller may send again, for predictions change nothing.
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise WorkerDied from error

    async def _gone(self, limit: float | None) -> None:
        """Wait until the process is gone and its output is logged, no longer than ``limit`` seconds."""
        await asyncio.wait({self._watch}, timeout=limit)

    async def _watched(self) -> None:
        """Log the output until the process is gone."""
        output = asyncio.create_task(self._pump())
        try:
            # The exit first, then the rest of the output: the pipe ends only when every child has closed it.
            await self._exited()
            # As a container ends with everything in it: what users' code started is in the worker's process group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._path.unlink(missing_ok=True)
            await asyncio.wait({output}, timeout=1)  # a child of the worker's may keep the pipe open
        finally:
            output.cancel()
            self.ended.set()
            await self._session.close()

    async def _exited(self) -> None:
        waiting = asyncio.ensure_future(self._process.wait())
        # Looked at as well: before Python 3.12.5 `wait` ends only with the pipes, which a child of users' code may hold
        # open for ever (cpython issue 119710).
        while self._process.returncode is None:
            await asyncio.wait({waiting}, timeout=_LOOK)
        waiting.cancel()

    async def _pump(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        while chunk := await self._process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            # A program that prints without line ends must not fill the gateway's memory.
            if len(rest) > 65536:
                lines, rest = [*lines, rest], b""
            self._take([line.decode(errors="replace").rstrip("\r") for line in lines])
        self._take([rest.decode(errors="replace")] if rest else [])

    def _take(self, lines: list[str]) -> None:
        self._lines.extend(lines)
        self._write_log(*lines)

    def _write_log(self, *lines: str) -> None:
        if self._log is not None and lines:
            self._log.write(*lines)


_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
