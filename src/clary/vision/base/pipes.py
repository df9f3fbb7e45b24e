"""Channels in Pipe mode: a FIFO ``<channel>_<epoch>`` an epoch, from which the whole channel flows once.

Records cannot be drawn at random out of a stream, and a picture is decoded anew in each epoch; so the first epoch's
stream is kept in a file beside the pipes, and further epochs are read from there. Whoever feeds the pipes finds that
later ones are never opened, which the protocol allows; the file goes with the job's other input, however the job ends.
Source: SageMaker developer guide, "How SageMaker provides training information" (Pipe mode).
"""

from __future__ import annotations

import shutil
import stat
import time
from pathlib import Path

from clary.errors import AlgorithmError, UsageError
from clary.vision.base.jobdir import Channel

__all__ = ["fifo", "spooled"]

PATIENCE = 60.0  # seconds for a FIFO to appear; the platform makes the first before the program starts
_PAUSE = 0.05  # seconds between looks
_CHUNK = 1 << 20


def fifo(channel: Channel, epoch: int = 0, *, patience: float = PATIENCE) -> Path:
    """The FIFO of an epoch, as soon as it is there. Raises AlgorithmError after ``patience`` seconds."""
    path = channel.path.with_name(f"{channel.path.name}_{epoch}")
    deadline = time.monotonic() + patience
    while not _is_there(path):
        if time.monotonic() > deadline:
            raise AlgorithmError(f"The pipe of the {channel.name} channel did not appear", where=path)
        time.sleep(_PAUSE)
    return path


def spooled(channel: Channel, *, patience: float = PATIENCE) -> Path:
    """The file ``.<channel>.rec`` beside the pipe, with all that the first pipe of ``channel`` sends.

    Blocks until that is sent. Raises AlgorithmError when there is no pipe, UsageError when the disk is full.
    """
    source = fifo(channel, patience=patience)
    path = channel.path.with_name(f".{channel.path.name}.rec")
    try:
        # Opening blocks until the other end is opened for writing: that is the protocol's way to start the stream.
        with source.open("rb", buffering=0) as stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file, _CHUNK)
    except OSError as error:
        what = f"The stream of the {channel.name} channel cannot be kept ({error.strerror})"
        raise UsageError(what, where=path, hint="free some space") from error
    return path


def _is_there(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
