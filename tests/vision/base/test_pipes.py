"""Reading a channel in Pipe mode: its first stream kept beside the pipes, and what happens where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import AlgorithmError, UsageError
from clary.vision.base.jobdir import Channel
from clary.vision.base.pipes import fifo, spooled

# A job forked from a warm process ends without Python's own end, so nothing that is registered for it is run.
ENDS_AT_ONCE = """
import os, sys
from pathlib import Path
from clary.vision.base.jobdir import Channel
from clary.vision.base.pipes import spooled
spooled(Channel("train", Path(sys.argv[1]) / "train", input_mode="Pipe"))
os._exit(0)
"""


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    return Channel("train", tmp_path / "train", input_mode="Pipe")


@pytest.fixture
def feed(channel: Channel) -> Callable[..., threading.Thread]:
    """``feed(b"...", epoch=0)``: a thread that makes the FIFO and writes to it, in pieces."""

    def start(data: bytes, epoch: int = 0) -> threading.Thread:
        path = channel.path.with_name(f"train_{epoch}")
        os.mkfifo(path)

        def write() -> None:
            with path.open("wb", buffering=0) as file:
                for at in range(0, len(data), 1000):
                    file.write(data[at : at + 1000])

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        return writer

    return start


def test_the_first_stream_is_kept_whole(channel: Channel, feed: Callable[..., threading.Thread]) -> None:
    data = os.urandom(200_001)
    writer = feed(data)
    path = spooled(channel)
    writer.join(10)
    assert path.read_bytes() == data
    assert path == channel.path.with_name(".train.rec")


def test_later_epochs_are_not_opened(channel: Channel, feed: Callable[..., threading.Thread]) -> None:
    feed(b"first")
    later = feed(b"second", 1)
    assert spooled(channel).read_bytes() == b"first"
    assert later.is_alive()
    assert channel.path.with_name("train_1").read_bytes() == b"second"
    later.join(10)


def test_the_next_attempt_keeps_its_own(channel: Channel, feed: Callable[..., threading.Thread]) -> None:
    channel.path.with_name(".train.rec").write_bytes(b"of an attempt that was killed")
    feed(b"new")
    assert spooled(channel).read_bytes() == b"new"


def test_nothing_is_kept_outside_the_jobs_folder(tmp_path: Path) -> None:
    job, temporary = tmp_path / "job", tmp_path / "temporary"
    job.mkdir()
    temporary.mkdir()
    (job / "train_0").write_bytes(b"x")
    command = [sys.executable, "-c", ENDS_AT_ONCE, str(job)]
    subprocess.run(command, env=os.environ | {"TMPDIR": str(temporary)}, check=True, timeout=120)
    assert (job / ".train.rec").read_bytes() == b"x"
    assert list(temporary.iterdir()) == []


def test_a_pipe_that_comes_late(channel: Channel) -> None:
    path = channel.path.with_name("train_0")
    timer = threading.Timer(0.1, os.mkfifo, [path])
    timer.start()
    assert fifo(channel, patience=10) == path
    timer.join()


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_pipe_that_does_not_come(channel: Channel, epoch: int) -> None:
    channel.path.mkdir()  # a folder is no pipe
    channel.path.with_name(f"train_{epoch}").mkdir()
    with pytest.raises(AlgorithmError, match=f"train_{epoch}: The pipe of the train channel did not appear"):
        fifo(channel, epoch, patience=0)


def test_no_room_for_the_stream(channel: Channel) -> None:
    channel.path.with_name("train_0").write_bytes(b"x")
    channel.path.with_name(".train.rec").mkdir()
    with pytest.raises(UsageError, match=r"\.train\.rec: The stream of the train channel cannot be kept \(Is a dir"):
        spooled(channel)
