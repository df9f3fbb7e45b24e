"""Which hooks listen to which event. Found once a run, so that the loop builds only the events somebody listens to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import count
from typing import Any

from clary.vision.base.events import Hook, Mode, Phase, PhaseName, Preparation

__all__ = ["Dispatcher", "Listeners", "counting", "tell"]

# One for all: a step has four phases, and as a rule nobody listens.
SILENCE = nullcontext()


class Dispatcher:
    """Tells one event to all hooks that override its method; false when none does."""

    __slots__ = ("_methods",)

    def __init__(self, hooks: Sequence[Hook], name: str) -> None:
        # Looked up on the hook: a method may have been put on the object, and a hook need not derive from Hook.
        found = [getattr(hook, name, None) for hook in hooks]
        idle = getattr(Hook, name)
        self._methods = tuple(one for one in found if one is not None and getattr(one, "__func__", None) is not idle)

    def __bool__(self) -> bool:
        return bool(self._methods)

    def __call__(self, *event: Any) -> None:
        for method in self._methods:
            _call(method, *event)

    def last(self) -> None:
        """Tell everybody, the last one first, even when one of them raises."""
        with ExitStack() as stack:
            for method in self._methods:
                # An exit stack: each is called though an earlier one raised, and the last one opened is closed first.
                stack.callback(_call, method)


class Listeners:
    """The dispatchers of a run: ``on_batch(event)`` tells those hooks that override ``on_batch``, and so on."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.on_preparation = Dispatcher(hooks, "on_preparation")
        self.on_start = Dispatcher(hooks, "on_start")
        self.on_step_start = Dispatcher(hooks, "on_step_start")
        self.on_forward = Dispatcher(hooks, "on_forward")
        self.on_loss = Dispatcher(hooks, "on_loss")
        self.on_backward = Dispatcher(hooks, "on_backward")
        self.on_batch = Dispatcher(hooks, "on_batch")
        self.on_validation_batch = Dispatcher(hooks, "on_validation_batch")
        self.on_epoch = Dispatcher(hooks, "on_epoch")
        self.on_end = Dispatcher(hooks, "on_end")
        self.on_close = Dispatcher(hooks, "on_close")
        self._phase_start = Dispatcher(hooks, "on_phase_start")
        self._phase_end = Dispatcher(hooks, "on_phase_end")
        self._phases = bool(self._phase_start or self._phase_end)
        self.steps = bool(self.on_step_start or self.on_forward or self.on_loss or self.on_backward)

    def phase(
        self, name: PhaseName, mode: Mode, epoch: int, step: int, global_step: int
    ) -> AbstractContextManager[None]:
        """A context that is a phase of the run."""
        return self._timed(name, mode, epoch, step, global_step) if self._phases else SILENCE

    @contextmanager
    def _timed(self, name: PhaseName, mode: Mode, epoch: int, step: int, global_step: int) -> Iterator[None]:
        phase = Phase(name, mode, epoch, step, global_step, time.perf_counter())
        self._phase_start(phase)
        begin = time.perf_counter()  # anew: what hooks took is not the phase's
        yield
        self._phase_end(phase, time.perf_counter() - begin)


def tell(hooks: Sequence[Hook], what: str, done: int = 0, total: int | None = None) -> None:
    """Tell ``hooks`` what is done before the run's first step (``Preparation``), where there is no loop yet."""
    Dispatcher(hooks, "on_preparation")(Preparation(what, done, total))


def counting(hooks: Sequence[Hook], what: str, total: int) -> Callable[..., None]:
    """Tell ``hooks`` that ``total`` things are to be done; each call of what it returns tells of one more."""
    tell(hooks, what, 0, total)
    done = count(1)
    return lambda *each: tell(hooks, what, next(done), total)


def _call(method: Callable[..., None], *event: Any) -> None:
    try:
        method(*event)
    except Exception as error:
        hook = type(getattr(method, "__self__", method)).__qualname__
        # A note, not an error of ours: the traceback must stay the hook's, whose author reads it.
        error.add_note(f"the hook {hook} failed in {getattr(method, '__name__', 'a call')}")
        raise
