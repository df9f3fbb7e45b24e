"""Requests that nobody sends by chance, over many connections, beside programs whose answers must stay right."""

from __future__ import annotations

import asyncio
import http.client
import io
import itertools
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.control.wire.hostile import Answer, HostileRequest, hostile
from tests.control.wire.test_hostile import faults
from tests.storm.server import Server
from tests.storm.weather import Tally

from clary.client import gateway
from clary.control import home as homes
from clary.control.resources import load

REQUESTS = 4000  # a round
SENDERS = 8
PATIENCE = 90.0  # seconds for an answer; on a quiet machine none takes one
MANNERS = ["whole"] * 12 + ["dribbled", "cut", "left"]
UNREADABLE = b"Invalid HTTP request received."  # what the HTTP parser itself answers


class HostileRequests:
    name = "requests"

    def absent(self) -> str:
        return ""

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        load()  # what operations there are
        signed = seed % 2 == 1  # every other round, so that a seed alone says which
        options = ["--no-warm", "--require-signatures"] if signed else ["--no-warm"]
        with Server(folder / "home", tally, options) as server:
            s3 = server.client("s3")
            for bucket in ("box", "honest"):
                s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket="box", Key="kept", Body=b"x" * 100)
            honest = [Honest(server, number, tally) for number in range(2)]
            for program in honest:
                program.start()
            try:
                asyncio.run(_send_all(server, seed, signed, tally))
            finally:
                for program in honest:
                    program.enough.set()
                for program in honest:
                    program.join()
            with tally.watched("after all requests"):
                for program in honest:
                    program.check()
                if s3.get_object(Bucket="box", Key="kept")["Body"].read() != b"x" * 100:
                    tally.find("the object `kept` is another")
                running = homes.read_server(server.home)
                assert running is not None, "the server is gone"
                gateway.health(running, timeout=PATIENCE)
                server.end_all()


WEATHER = HostileRequests()


class Honest(threading.Thread):
    """A program as users write it, which does the same over and over and knows every answer."""

    def __init__(self, server: Server, number: int, tally: Tally) -> None:
        super().__init__(daemon=True)
        self._s3, self._sagemaker, self._logs = (server.client(name) for name in ("s3", "sagemaker", "logs"))
        self._name, self._tally, self._random = f"honest-{number}", tally, random.Random(number)
        self.enough = threading.Event()
        self._objects: dict[str, bytes] = {}

    def run(self) -> None:
        for turn in itertools.count():
            if self.enough.is_set():
                return
            with self._tally.watched("an honest program"):
                self._objects_turn(turn)
                if turn % 5 == 0:
                    self._model_turn(f"{self._name}-{turn}")
            self._tally.try_("honest turns")

    def _objects_turn(self, turn: int) -> None:
        key = f"{self._name}/{turn % 7}"
        body = self._random.randbytes(self._random.choice([0, 10, 5_000, 300_000]))
        self._s3.put_object(Bucket="honest", Key=key, Body=body, Metadata={"turn": str(turn)})
        self._objects[key] = body
        found = self._s3.get_object(Bucket="honest", Key=key)
        assert found["Metadata"] == {"turn": str(turn)}, f"{key} has the metadata {found['Metadata']}"
        assert found["Body"].read() == body, f"{key} is another"
        listed = self._s3.list_objects_v2(Bucket="honest", Prefix=f"{self._name}/")["Contents"]
        assert [each["Key"] for each in listed] == sorted(self._objects), "a list is wrong"

    def _model_turn(self, name: str) -> None:
        role = "arn:aws:iam::000000000000:role/Honest"
        image = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
        self._s3.put_object(Bucket="honest", Key=f"{name}.tar.gz", Body=b"a model")
        container = {"Image": image, "ModelDataUrl": f"s3://honest/{name}.tar.gz"}
        self._sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
        assert self._sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["Image"] == image
        self._sagemaker.delete_model(ModelName=name)
        if not self._logs.describe_log_groups(logGroupNamePrefix=f"/{self._name}")["logGroups"]:
            self._logs.create_log_group(logGroupName=f"/{self._name}")

    def check(self) -> None:
        for key, body in self._objects.items():
            assert self._s3.get_object(Bucket="honest", Key=key)["Body"].read() == body, f"{key} is another"


async def _send_all(server: Server, seed: int, signed: bool, tally: Tally) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    requests = itertools.islice(hostile(seed, key=server.key, stamp=stamp), REQUESTS)
    numbered = enumerate(requests)
    await asyncio.gather(*(_sender(server, numbered, seed, signed, tally) for _ in range(SENDERS)))


async def _sender(
    server: Server, requests: Iterator[tuple[int, HostileRequest]], seed: int, signed: bool, tally: Tally
) -> None:
    for number, request in requests:
        # Of its own number: who sends which depends on the instant, how each is sent does not.
        dice = random.Random(f"{seed} {number}")
        if signed and dice.random() < 0.7:
            request = _signed(request, server, dice)
        said = f"request {number}, {request.method} {request.path!r} ? {request.query!r} {request.headers}"
        try:
            async with asyncio.timeout(PATIENCE):
                data = await _deliver(server, request, dice)
        except TimeoutError:
            tally.find(f"no answer after {PATIENCE:.0f} s to {request.method}", said)
        except OSError:  # closed on what it did not want to read; a server that is gone is noticed at the end
            pass
        else:
            if fault := _fault(request, data):
                tally.find(fault, said)
        tally.try_("signed mode's requests" if signed else "requests")


def _signed(request: HostileRequest, server: Server, dice: random.Random) -> HostileRequest:
    """The request with a signature of its address that is right, wherever botocore can make one for it."""
    host = f"127.0.0.1:{server.port}"
    target = (request.path + (b"?" + request.query if request.query else b"")).decode("latin-1")
    claim = AWSRequest(request.method, f"http://{host}{target}", {"host": host}, request.body)
    credentials = Credentials(server.key, server.secret)
    try:
        if dice.random() < 0.5:
            S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(claim)
        else:
            service = dice.choice(["sagemaker", "monitoring", "logs", "sts", "iam"])
            SigV4Auth(credentials, service, "us-east-1").add_auth(claim)
        made = [(name.lower().encode(), str(value).encode()) for name, value in claim.headers.items()]
    except Exception:  # noqa: BLE001  # an address without sense is none of botocore's
        return request
    own = {name for name, _ in made}
    headers = [*made, *((name, value) for name, value in request.headers if name not in own)]
    return HostileRequest(request.method, request.path, request.query, headers, request.body)


async def _deliver(server: Server, request: HostileRequest, dice: random.Random) -> bytes:
    """Send it in one of several manners; what came back, empty where nobody waited for it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    data, manner = request.raw(), dice.choice(MANNERS)
    named = {name for name, _ in request.headers}
    try:
        if manner == "cut":
            data = data[: dice.randrange(len(data))]
        step = max(1, len(data) // 5) if manner == "dribbled" else len(data)
        for start in range(0, len(data), max(1, step)):
            writer.write(data[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)
        if manner in ("cut", "left"):
            return b""
        # A length that is not the body's would have both sides wait for each other.
        if named & {b"content-length", b"transfer-encoding", b"expect"}:
            writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


class _Received:
    """What ``http.client`` reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._data)


def _fault(request: HostileRequest, data: bytes) -> str:
    """What is wrong with an answer; empty where it is right, or none came because nobody waited."""
    if not data or data.endswith(UNREADABLE):
        return ""
    received: Any = _Received(data)
    answer = http.client.HTTPResponse(received, method=request.method)
    try:
        answer.begin()
        body = answer.read()
    except (http.client.HTTPException, ValueError) as error:
        return f"no answer of HTTP ({error!r}): {data[:100]!r}"
    headers = {name.lower(): value for name, value in answer.getheaders()}
    if "x-content-type-options" not in headers:
        return f"{answer.status} without nosniff: {body[:100]!r}"
    return faults(request, Answer(answer.status, headers, body), "")
