"""Clients that take their time, on real connections; the server's clock goes on only when a test says so."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
import uvicorn
from uvicorn.server import ServerState

from clary.vision.inference.connections import Connection

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class Timer:
    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at, self.call = at, call

    def cancel(self) -> None:
        self.call = lambda: None


class Clock:
    """The event loop with a time of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now, self._timers = 0.0, list[Timer]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, call: Callable[..., object], *arguments: object) -> Timer:
        self._timers.append(Timer(self._now + delay, lambda: call(*arguments)))
        return self._timers[-1]

    async def advance(self, seconds: float) -> None:
        """Let time pass; what was sent before has arrived."""
        await settle()
        end = self._now + seconds
        while due := [timer for timer in self._timers if timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            self._now = first.at
            self._timers.remove(first)
            first.call()
            await settle(1)
        self._now = end
        await settle()


async def settle(turns: int = 20) -> None:
    """Turns of the event loop, after which what was sent over loopback has arrived and was seen to."""
    for _ in range(turns):
        await asyncio.sleep(0)


@dataclass
class App:
    """Answers with the number of bytes it was sent. ``gate`` holds it up before it reads."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    gone: int = 0
    bodies: list[int] = field(default_factory=list)
    answer: bytes | None = None
    reads: bool = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.gate.wait()
        size, more = 0, self.reads
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            size, more = size + len(message["body"]), message["more_body"]
        self.bodies.append(size)
        body = b"%d" % size if self.answer is None else self.answer
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), 1 << 16):
            piece = body[start : start + (1 << 16)]
            more = start + len(piece) < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


class World:
    """A server with an App, and clients of it."""

    def __init__(self) -> None:
        self.app, self.state, self.clock = App(), ServerState(), Clock()
        self.app.gate.set()
        self._config = uvicorn.Config(self.app, log_level="critical", lifespan="off")
        self._server: asyncio.Server
        self._writers: list[asyncio.StreamWriter] = []

    def make(self) -> Connection:
        return Connection(config=self._config, server_state=self.state, app_state={}, _loop=self.clock)

    async def __aenter__(self) -> World:
        self._server = await asyncio.get_running_loop().create_server(self.make, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in list(self.state.connections):
            connection.transport.abort()
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        self._server.close()
        await self._server.wait_closed()
        await settle()

    async def client(self, data: bytes = b"") -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        writer.write(data)
        return reader, writer

    async def trickle(self, writer: asyncio.StreamWriter, seconds: int, piece: bytes = b"x") -> None:
        """Send a piece a second, until the server has had enough."""
        for _ in range(seconds):
            if not self.state.connections:
                return
            writer.write(piece)
            await self.clock.advance(1)


def play(scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), World() as world:
            await scene(world)

    asyncio.run(main())


class TestTooSlow:
    def test_nothing_is_sent(self):
        async def scene(world: World) -> None:
            clients = [await world.client() for _ in range(70)]
            await world.clock.advance(18)
            assert len(world.state.connections) == 70
            await world.clock.advance(4)
            assert [await reader.read() for reader, _ in clients] == [b""] * 70

        play(scene)

    @pytest.mark.parametrize("head", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nX-"])
    def test_a_head_without_end(self, head):
        async def scene(world: World) -> None:
            reader, writer = await world.client(head)
            await world.trickle(writer, 22)
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            assert world.app.bodies == []

        play(scene)

    def test_the_head_of_a_later_request(self):
        async def scene(world: World) -> None:
            reader, writer = await world.client(POST % 1 + b"x")
            assert (await reader.readuntil(b"\r\n\r\n1")).startswith(b"HTTP/1.1 200 ")
            writer.write(POST[:20])
            await world.clock.advance(22)
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")

        play(scene)

    @pytest.mark.parametrize("piece", [b"", b"x", bytes(400)])
    def test_a_body_that_stops_or_trickles(self, piece):
        async def scene(world: World) -> None:
            reader, writer = await world.client(POST % 100_000 + bytes(15_000))
            await world.trickle(writer, 44, piece)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert answer.endswith(b"the request did not come in time\n")
            assert (world.app.gone, world.app.bodies) == (1, [])
            assert not world.state.tasks, "it holds no place"

        play(scene)

    def test_chunks_that_say_nothing(self):
        async def scene(world: World) -> None:
            reader, writer = await world.client(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;")
            await world.trickle(writer, 44)
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")

        play(scene)

    def test_an_answer_that_nobody_takes(self):
        async def scene(world: World) -> None:
            world.app.answer = bytes(50 << 20)
            _, writer = await world.client(POST % 0)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await world.clock.advance(290)
            assert world.state.tasks
            await world.clock.advance(20)
            assert not world.state.connections
            assert not world.state.tasks

        play(scene)

    @pytest.mark.parametrize(("end", "seconds"), [(b"", 6), (b"\r\n", 22)])  # line ends stop uvicorn's own timer
    def test_idle_between_two_requests(self, end, seconds):
        async def scene(world: World) -> None:
            reader, _ = await world.client(POST % 1 + b"x" + end)
            await world.clock.advance(seconds)
            assert (await reader.read()).endswith(b"\r\n\r\n1")

        play(scene)


class TestSlowEnough:
    def test_a_large_body_that_takes_many_times_the_limit(self):
        async def scene(world: World) -> None:
            reader, writer = await world.client(POST % 180_000)
            await world.trickle(writer, 300, bytes(600))
            assert (await reader.readuntil(b"180000")).startswith(b"HTTP/1.1 200 ")

        play(scene)

    @pytest.mark.parametrize("size", [3, 1 << 20])
    def test_a_server_that_takes_its_time(self, size):
        async def scene(world: World) -> None:
            world.app.gate.clear()
            reader, _ = await world.client(POST % size + bytes(size))
            await world.clock.advance(500)
            world.app.gate.set()
            assert (await reader.readuntil(b"%d" % size)).startswith(b"HTTP/1.1 200 ")

        play(scene)

    def test_a_body_that_was_not_asked_for_yet(self):
        async def scene(world: World) -> None:
            world.app.gate.clear()
            reader, writer = await world.client(POST[:-4] % 3 + b"\r\nExpect: 100-continue\r\n\r\n")
            await world.clock.advance(500)
            world.app.gate.set()
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert (await reader.readuntil(b"\r\n\r\n3")).startswith(b"HTTP/1.1 200 ")

        play(scene)

    def test_an_answer_that_is_taken_slowly(self):
        async def scene(world: World) -> None:
            world.app.answer = bytes(30 << 20)
            loop = asyncio.get_running_loop()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", world.port))
                await loop.sock_sendall(client, POST % 0)
                size = 0
                while size < len(world.app.answer):
                    await world.clock.advance(200)
                    for _ in range(16):
                        size += len(await loop.sock_recv(client, 1 << 18))
                assert size > len(world.app.answer)

        play(scene)


class TestAnsweredEarly:
    def test_the_rest_of_the_body_is_let_go_by(self):
        """So that a client which sends first and reads then finds out why; and may use its connection again."""

        async def scene(world: World) -> None:
            world.app.reads = False
            reader, writer = await world.client(POST % (8 << 20))
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            writer.write(bytes(8 << 20))
            await writer.drain()
            world.app.reads = True
            writer.write(POST % 3 + b"abc")
            assert (await reader.readuntil(b"\r\n\r\n3")).startswith(b"HTTP/1.1 200 ")

        play(scene)

    def test_but_not_for_long(self):
        async def scene(world: World) -> None:
            world.app.reads = False
            reader, writer = await world.client(POST % (1 << 40))
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            await world.trickle(writer, 8, bytes(1 << 16))
            assert not world.state.connections

        play(scene)


class TestOddClients:
    def test_pipelined_requests_are_answered_in_order(self):
        async def scene(world: World) -> None:
            reader, _ = await world.client(b"".join(POST % size + bytes(size) for size in (3, 100_000, 0, 7)))
            for size in (b"3", b"100000", b"0", b"7"):
                assert (await reader.readuntil(b"\r\n\r\n" + size)).startswith(b"HTTP/1.1 200 ")

        play(scene)

    def test_http_1_0(self):
        async def scene(world: World) -> None:
            reader, _ = await world.client(b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"connection: close\r\n\r\n3")

        play(scene)

    def test_chunks(self):
        async def scene(world: World) -> None:
            chunks = b"3\r\nabc\r\n4;a=b\r\ndefg\r\n0\r\n\r\n"
            reader, _ = await world.client(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
            assert (await reader.readuntil(b"\r\n\r\n7")).startswith(b"HTTP/1.1 200 ")

        play(scene)

    @pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
    def test_another_protocol_is_offered(self, protocol, caplog):
        async def scene(world: World) -> None:
            offer = b"Connection: Upgrade\r\nUpgrade: " + protocol
            reader, _ = await world.client(b"GET / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            for size in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
                reader, _ = await world.client(b"POST / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n" + size)
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 400 ")
                assert answer.endswith(b"send the request without Upgrade.")
            assert world.app.bodies == [0], "none was taken for an empty one"

        play(scene)
        assert caplog.text == ""

    @pytest.mark.parametrize("part", [b"", b"POST / HT", POST % 10 + b"abc"])
    def test_an_end_in_the_middle(self, part):
        async def scene(world: World) -> None:
            reader, writer = await world.client(part)
            writer.write_eof()
            assert await reader.read() == b""
            await settle()
            assert world.app.bodies == []
            assert not world.state.connections
            assert not world.state.tasks

        play(scene)

    def test_a_thousand_idle_connections_hinder_nobody(self):
        async def scene(world: World) -> None:
            for _ in range(1000):
                await world.client()
            reader, _ = await world.client(POST % 3 + b"abc")
            assert (await reader.readuntil(b"\r\n\r\n3")).startswith(b"HTTP/1.1 200 ")
            await world.clock.advance(22)
            assert not world.state.connections

        play(scene)
