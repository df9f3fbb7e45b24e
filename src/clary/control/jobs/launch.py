"""What a host's program is started with and how it ended: launch.json and exit.json in its folder (jobs.folders).

Both carry the number of the attempt, which only ever grows. A report of an attempt that is not the newest is ignored:
its process may still run somewhere, but the job no longer waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from clary.control.jobs.folders import FIRST_HOST, TRAINING_JOB
from clary.control.jobs.pipe_plan import PipePlan
from clary.errors import ClaryError, UsageError
from clary.vision.base.files import PRIVATE, write_json, write_reserved

__all__ = [
    "EXIT_ROOM",
    "MAX_RUNTIME_EXCEEDED",
    "STOPPED",
    "Algorithm",
    "Command",
    "Exit",
    "HostAttempt",
    "Launch",
    "OldAttempt",
    "Program",
    "Script",
]

TRAIN = "clary.toolkit.train"
STOPPED = "Stopped"  # somebody asked
MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
EXIT_ROOM = "exit.reserve"  # in a host's folder while it runs: room for exit.json on a full disk


class _NoObjectError(UsageError):
    """A file of ours that holds no JSON object."""


class OldAttempt(ClaryError):
    """Somebody speaks for, or asks about, an attempt that a later one has taken the place of."""


@dataclass(frozen=True, slots=True)
class HostAttempt:
    """One attempt of one host of a job: what every word with a launcher is about. ``kind`` is that of the record."""

    kind: str
    job: str
    host: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A built-in algorithm, by its name in the catalog; needs no process of its own where one is warm."""

    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """A program to execute, found on the PATH of the launch's environment."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A user's script, by the file of the toolkit's plan (toolkit.plan); may be run where a process is warm.

    ``module`` is the part of the toolkit that runs it: its ``main`` gets the plan."""

    plan: str
    module: str = TRAIN


Program = Algorithm | Command | Script


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything needed to run one attempt of a host. Paths are absolute paths of the machine it runs on."""

    job: str
    folder: Path  # of the host
    log: Path  # file of the log stream
    kind: str = TRAINING_JOB
    host: str = FIRST_HOST
    program: Program = Command(())
    environment: Mapping[str, str] = field(default_factory=dict)  # the platform's part; nothing is inherited
    # The request's part: for the program alone, and seen by nothing that runs before it (jobs.environment).
    given: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""  # as the program sees it, "/opt/ml/code" say; empty: opt_ml
    namespace: bool = True  # show opt_ml as /opt/ml in a mount namespace; else SAGEMAKER_BASE_DIR only
    inputs: tuple[Path, ...] = ()  # folders below opt_ml whose files a job must never alter: links into the store
    hosts: tuple[str, ...] = (FIRST_HOST,)  # names that mean 127.0.0.1 (namespace only)
    # The API's defaults: MaxRuntimeInSeconds of StoppingCondition, and what StopTrainingJob leaves between two signals.
    max_run: float = 86400.0  # seconds
    grace: float = 120.0  # seconds between SIGTERM and SIGKILL
    attempt: int = 1
    pipes: tuple[PipePlan, ...] = ()  # of the channels in Pipe mode; their objects are in
    s3_root: Path = Path()  # this folder and, by the names of buckets,
    s3_buckets: Mapping[str, str] = field(default_factory=dict)  # in these, or
    s3_endpoint: str = ""  # at this address, whose keys are in the environment of the monitor
    region: str = ""

    @property
    def opt_ml(self) -> Path:
        return self.folder / "opt_ml"

    @property
    def data(self) -> Path:
        return self.opt_ml / "input" / "data"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def subject(self) -> HostAttempt:
        return HostAttempt(self.kind, self.job, self.host, self.attempt)

    def write(self) -> None:
        """Write launch.json. Raises UsageError when the disk is full or the folder cannot be written."""
        # It holds the keys of the platform, and those of the request's environment.
        write_json(self.folder / "launch.json", asdict(self) | _texts(self), PRIVATE)

    @classmethod
    def read(cls, folder: Path) -> Launch:
        """The launch.json of ``folder``. Raises UsageError when there is none or it cannot be used."""
        known = _read(folder / "launch.json")
        try:
            known |= {"folder": Path(folder), "log": Path(known["log"])}
            known |= {"program": _program(known), "hosts": tuple(known["hosts"])}
            known |= {"inputs": tuple(Path(path) for path in known["inputs"])}
            plans = known.pop("feeds", ()) or known.get("pipes", ())  # `feeds`: written before the word changed
            known |= {"pipes": tuple(map(PipePlan.from_json, plans))}
            known |= {"s3_root": Path(known.get("s3_root", ""))}
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise UsageError(f"is no launch description ({error})", where=folder / "launch.json") from error


@dataclass(frozen=True, slots=True)
class Exit:
    """How one attempt ended. Times in epoch seconds, memory in bytes."""

    attempt: int
    code: int | None = None  # exit code; None where a signal ended the program or it never started
    signal: int | None = None
    reason: str = ""  # STOPPED or MAX_RUNTIME_EXCEEDED when the monitor ended it
    out_of_memory: bool = False  # the kernel killed it for want of memory
    error: str = ""  # why the program could not be started at all, or could not have its data
    started: float = 0.0
    ended: float = 0.0
    peak_memory: int = 0

    def write(self, folder: Path) -> None:
        """Write exit.json, synced and renamed. Raises UsageError when the disk is full, OldAttempt when there is one of
        a later attempt, which stays."""
        # A monitor that was taken for lost may come to its end late, and must not speak for the attempt after it.
        written = _exit_note(folder) or {}
        if isinstance(later := written.get("attempt"), int) and later > self.attempt:
            raise OldAttempt(f"attempt {self.attempt} ended after a later one", where=folder / "exit.json")
        # In the room that the monitor kept, where the disk is full: a job whose end nobody can read is run again.
        write_reserved(folder / "exit.json", folder / EXIT_ROOM, json.dumps(asdict(self), indent=2) + "\n", PRIVATE)
        (folder / EXIT_ROOM).unlink(missing_ok=True)

    @classmethod
    def read(cls, folder: Path, attempt: int) -> Exit | None:
        """The exit.json of ``folder``; None when there is none, it is of an earlier attempt, or it is damaged (by a
        machine that lost its power, say): how the attempt ended is not known then. Raises UsageError when it may not
        be read."""
        known = _exit_note(folder)
        if known is None or known.get("attempt") != attempt:
            return None
        # A later version may have written more: a job that has ended must not fail by that.
        return cls(**{one.name: known[one.name] for one in fields(cls) if one.name in known})


def _exit_note(folder: Path) -> dict[str, Any] | None:
    try:
        return _read(folder / "exit.json")
    except _NoObjectError:
        return None
    except UsageError as error:
        # Not looked for again: it may be there by now, written between the two looks.
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise


def _program(known: dict[str, Any]) -> Program:
    """Before 0.2 there were two fields of which one was empty: the algorithm's name, and the command."""
    algorithm, argv = known.pop("algorithm", ""), known.pop("argv", ())
    match known.get("program") or {"type": "algorithm" if algorithm else "command", "name": algorithm, "argv": argv}:
        case {"type": "algorithm", "name": str(name)}:
            return Algorithm(name)
        case {"type": "command", "argv": [*words]}:
            return Command(tuple(words))
        case {"type": "script", "plan": str(plan), **more}:
            return Script(plan, str(more.get("module", TRAIN)))
        case other:
            raise TypeError(f"no such program is known: {other}")


def _texts(launch: Launch) -> dict[str, Any]:
    return {
        "program": {"type": type(launch.program).__name__.lower(), **asdict(launch.program)},
        "folder": str(launch.folder),
        "log": str(launch.log),
        "environment": dict(launch.environment),
        "given": dict(launch.given),
        "inputs": [str(path) for path in launch.inputs],
        "pipes": [pipe.to_json() for pipe in launch.pipes],
        "s3_root": str(launch.s3_root),
        "s3_buckets": dict(launch.s3_buckets),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=path) from error
    except (ValueError, RecursionError) as error:
        raise _NoObjectError(f"is not JSON ({error})", where=path) from error
    if not isinstance(value, dict):
        raise _NoObjectError(f"holds a JSON {type(value).__name__}, not an object", where=path)
    return value
