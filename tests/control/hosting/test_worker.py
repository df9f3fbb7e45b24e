"""Workers: started, told what to serve, ended in every way there is. All are real processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.hosting.assignment import Assignment, command
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.log import VariantLog
from clary.control.hosting.process import Worker, WorkerDied
from clary.control.logs.streams import LogStore

# Each test starts a real worker.
pytestmark = pytest.mark.slow

JPEG = {"Content-Type": "image/jpeg"}


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_an_assignment_is_one_line(model, environment):
    line = Assignment(model, environment).line()
    assert line.index(b"\n") == len(line) - 1
    assert Assignment.read(line) == Assignment(model, environment)


@pytest.fixture
def sockets(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def log(tmp_path):
    log = VariantLog(LogStore(tmp_path / "logs"), "pets", "v")
    yield log
    log.close()


def lines(tmp_path: Path) -> list[str]:
    logs = LogStore(tmp_path / "logs")
    group = "/aws/sagemaker/Endpoints/pets"
    return [event.message for stream in logs.streams(group) for event in logs.events(group, stream.name)]


class TestServing:
    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_the_whole_way(self, sockets, log, model_folder, jpeg, tmp_path, loop):
        async def work():
            worker = await Worker.spawn(sockets, {})
            worker.assign(Assignment(str(model_folder), {}).line(), log)
            await worker.serving(60)
            reply = await worker.post(jpeg(), JPEG)
            assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
            assert 0 < reply.seconds < 60
            assert await worker.alive(10)
            await worker.stop()
            assert worker.ended.is_set()
            assert worker.exit_reason() == "the worker ended with exit code 0"
            assert not await worker.alive(10)
            with pytest.raises(WorkerDied):
                await worker.post(jpeg(), JPEG)

        factory = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work())
        assert list(sockets.iterdir()) == []
        assert re.fullmatch(r"3 classes, openvino in \w+", lines(tmp_path)[0])

    def test_a_call_inside_is_answered_before_it_stops(self, sockets, log, model_folder, jpeg):
        async def work():
            worker = await Worker.spawn(sockets, {})
            worker.assign(Assignment(str(model_folder), {}).line(), log)
            await worker.serving(60)
            (path,) = sockets.iterdir()
            reader, writer = await asyncio.open_unix_connection(path)
            body = jpeg()
            head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body[:100])
            await writer.drain()
            assert await worker.alive(10)  # once this is answered, the half request has been taken up as well
            stopping = asyncio.create_task(worker.stop())
            await asyncio.sleep(0)
            writer.write(body[100:])
            assert (await reader.read(1000)).startswith(b"HTTP/1.1 200 OK")
            await stopping
            writer.close()
            assert worker.exit_reason() == "the worker ended with exit code 0"

        asyncio.run(work())

    def test_a_model_that_cannot_be_served(self, sockets, log, tmp_path):
        async def work():
            (tmp_path / "empty").mkdir()
            worker = await Worker.spawn(sockets, {})
            worker.assign(Assignment(str(tmp_path / "empty"), {}).line(), log)
            with pytest.raises(StartFailed, match="is empty: its training was stopped before the first epoch ended"):
                await worker.serving(60)
            assert worker.ended.is_set()

        asyncio.run(work())

    def test_killed_while_it_starts(self, sockets, log, model_folder):
        async def work():
            worker = await Worker.spawn(sockets, {})
            worker.assign(Assignment(str(model_folder), {}).line(), log)
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(StartFailed, match="ended by SIGKILL"):
                await worker.serving(60)

        asyncio.run(work())

    def test_killed_before_it_has_a_model(self, sockets, log, model_folder):
        """Its end may not have been noticed yet: the word to it must fail like the start that it is."""
        uvloop = pytest.importorskip("uvloop")

        async def given(worker):
            worker.assign(Assignment(str(model_folder), {}).line(), log)
            await worker.serving(20)

        async def work():
            for turns in range(40):  # how far the loop has come in noticing
                worker = await Worker.spawn(sockets, {})
                os.kill(worker.pid, signal.SIGKILL)
                os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
                for _ in range(turns):
                    await asyncio.sleep(0)
                with pytest.raises(StartFailed, match="ended"):
                    await given(worker)
                assert not worker.usable
                await worker.kill()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work())

    def test_one_that_does_not_answer_in_time(self, sockets, log):
        async def work():
            worker = await Worker.spawn(sockets, {})  # never told what to serve
            with pytest.raises(StartFailed, match=r"did not pass the ping health check within 0\.1 seconds"):
                await worker.serving(0.1)
            await worker.kill()

        asyncio.run(work())


class TestEnd:
    """Without an assignment, a worker has nothing to end but itself."""

    @pytest.fixture
    def warm_worker(self, sockets):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(sockets / "l"))
            listener.listen()
            process = subprocess.Popen(command(listener.fileno()), stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        yield process
        process.kill()
        process.communicate()

    def test_when_standard_input_closes(self, warm_worker):
        warm_worker.stdin.close()
        assert warm_worker.wait(60) == 0

    def test_by_half_an_assignment(self, warm_worker):
        warm_worker.stdin.write(Assignment("m", {}).line()[:-1])
        warm_worker.stdin.close()
        assert warm_worker.wait(60) == 0

    def test_no_file_of_the_current_folder_is_run(self, sockets, tmp_path, monkeypatch):
        (tmp_path / "json.py").write_text("raise SystemExit(77)")
        monkeypatch.chdir(tmp_path)

        async def work():
            worker = await Worker.spawn(sockets, {})
            await worker.stop()
            assert "77" not in worker.exit_reason()

        asyncio.run(work())


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "exit"])
def test_it_dies_with_its_parent(sockets, model_folder, tmp_path, how):
    """However the gateway goes, its workers hold no memory afterwards, in the middle of serving or as a warm worker."""
    program = f"""
        import asyncio, os, sys
        from clary.control.hosting.log import VariantLog
        from clary.control.hosting.process import Worker
        from clary.control.hosting.assignment import Assignment
        from clary.control.logs.streams import LogStore
        from pathlib import Path

        async def main():
            serving = await Worker.spawn(Path({str(sockets)!r}), {{}})
            log = VariantLog(LogStore(Path({str(tmp_path)!r})), "e", "v")
            serving.assign(Assignment({str(model_folder)!r}, {{}}).line(), log)
            await serving.serving(60)
            spare = await Worker.spawn(Path({str(sockets)!r}), {{}})
            print(serving.pid, spare.pid, flush=True)
            if {how!r} == "exit":
                os._exit(0)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    if how != "exit":
        parent.send_signal(getattr(signal, how))
    # The pipe is the workers' too, so its end is theirs.
    parent.communicate(timeout=60)
    asyncio.run(gone(pids))


async def gone(pids: list[int]) -> None:
    async with asyncio.timeout(60):
        while any(running(pid) for pid in pids):
            await asyncio.sleep(0.01)


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
