"""The algorithms there are, found without importing a tensor library."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pkgutil import resolve_name
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from clary.errors import AlgorithmError, UsageError
from clary.registry import Registry
from clary.vision.base.jobdir import JobDir
from clary.vision.base.spec import AnySpec
from clary.wording import similar_names

if TYPE_CHECKING:
    from clary.vision.algorithms.joblog import JobLog
    from clary.vision.base.events import Hook
    from clary.vision.training.stopping import StopRequest

__all__ = ["SPECS", "Train", "find", "load_ahead", "train_function"]

SPECS: Registry[AnySpec] = Registry("algorithms", "clary.vision.algorithms", "SPEC", submodule="spec")


class Train(Protocol):
    """What a spec's ``train`` names: trains on the job's channels and leaves the model in ``job.model``.

    ``hp`` is of the spec's class. Goes on from a checkpoint when there is one. Raises CustomerError for data or
    settings that cannot be used, DivergedError, InterruptedRun after ``stop``.
    """

    def __call__(self, job: JobDir, hp: Any, log: JobLog, hooks: Sequence[Hook], stop: StopRequest) -> object: ...


def find(name: str) -> AnySpec:
    """The spec called ``name`` or one of its aliases. Raises UsageError naming those that exist."""
    for spec in SPECS:
        if name == spec.name or name in spec.aliases:
            return spec
    # A name each is enough to choose from: the shortest, which is the task's.
    known = [min((spec.name, *spec.aliases), key=len) for spec in SPECS]
    every = [one for spec in SPECS for one in (spec.name, *spec.aliases)]
    near = similar_names(name, every)
    hint = f"did you mean `{near[0]}`?" if near else f"choose one of {', '.join(f'`{one}`' for one in known)}"
    raise UsageError(f"unknown algorithm `{name}`", hint=hint)


def train_function(spec: AnySpec) -> Train:
    """The function that trains, with all it imports.

    Raises ImportError where an extra is not installed, AlgorithmError where the spec names no function.
    """
    try:
        with _no_collections():
            train: Train = resolve_name(spec.train)
    except (AttributeError, ValueError) as error:
        raise AlgorithmError(f"`{spec.train}`, which trains {spec.name}, is not there ({error})") from error
    # `package.module:` is the module.
    if not callable(train):
        raise AlgorithmError(f"`{spec.train}`, which trains {spec.name}, is not there (it is no function)")
    return train


@contextmanager
def _no_collections() -> Iterator[None]:
    """Let the garbage collector rest: of the 400,000 objects that libraries are made of none is garbage, and looking
    through them again and again is a quarter of the time in which they are loaded (3.0 and 2.2 s)."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


def load_ahead(spec: AnySpec) -> Thread:
    """Begin to load what ``train_function`` gives, on a thread: two seconds in which pictures can be read as well.

    To be joined before the function is asked for, which then says whatever is wrong with it. Importing takes one core;
    decoding, which leaves Python's lock, has the others.
    """

    def load() -> None:
        # Of any kind: told by whoever asks for the function.
        with suppress(Exception):
            train_function(spec)

    # clary.__main__ knows it by its name.
    # No daemon: an interpreter that ends while a thread of it loads a library takes the process down with it.
    thread = Thread(target=load, name="libraries")
    thread.start()
    return thread
