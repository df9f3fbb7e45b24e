"""Who is told what, and that nobody pays for what nobody hears."""

from __future__ import annotations

from typing import Any

import pytest

from clary.vision.base.events import Hook, Phase
from clary.vision.training.listeners import SILENCE, Dispatcher, Listeners


class Batches(Hook):
    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    def on_batch(self, event: Any) -> None:
        self.heard.append(event)


def test_only_those_who_override_a_method_are_told() -> None:
    heard: list[Any] = []
    hear = Listeners([Hook(), Batches(heard), Hook()])
    assert hear.on_batch
    assert not any((hear.on_start, hear.on_epoch, hear.steps))
    hear.on_batch("one")
    assert heard == ["one"]


def test_a_method_put_on_a_hook_is_called_too() -> None:
    heard: list[Any] = []
    hook = Hook()
    hook.on_loss = lambda step, loss: heard.append(loss)  # type: ignore[method-assign]
    hear = Listeners([hook])
    assert hear.steps
    hear.on_loss(None, 0.5)
    assert heard == [0.5]


def test_whoever_is_no_hook_by_descent_is_told_what_it_knows() -> None:
    class Other:
        def on_batch(self, event: Any) -> None:
            heard.append(event)

    heard: list[Any] = []
    other: Any = Other()
    hear = Listeners([other])
    hear.on_start("start")
    hear.on_batch("batch")
    assert heard == ["batch"]


def test_a_phase_nobody_hears_is_no_object() -> None:
    hear = Listeners([Batches([])])
    assert hear.phase("forward", "train", 0, 0, 0) is SILENCE


def test_a_phase_is_told_with_what_it_took() -> None:
    class Phases(Hook):
        def on_phase_start(self, phase: Phase) -> None:
            heard.append((phase.name, phase.mode, phase.epoch, phase.step, phase.global_step))

        def on_phase_end(self, phase: Phase, seconds: float) -> None:
            heard.append(seconds)
            heard.append(phase.started)

    heard: list[Any] = []
    with Listeners([Phases()]).phase("forward", "validation", 1, 2, 3):
        pass
    (begin, seconds, started) = heard
    assert begin == ("forward", "validation", 1, 2, 3)
    assert 0 <= seconds < 1
    assert started > 0


def test_an_error_says_whose_it_is_and_stays_what_it_was() -> None:
    class Broken(Hook):
        def on_batch(self, event: Any) -> None:
            raise KeyError(event)

    with pytest.raises(KeyError) as caught:
        Listeners([Broken()]).on_batch("key")
    assert caught.value.__notes__[0].endswith("Broken failed in on_batch")


def test_all_are_closed_the_last_first_whoever_fails() -> None:
    class Closing(Hook):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_close(self) -> None:
            heard.append(self.name)
            if self.name == "second":
                raise OSError("disk full")

    heard: list[str] = []
    with pytest.raises(OSError, match="disk full"):
        Dispatcher([Closing("first"), Closing("second"), Closing("third")], "on_close").last()
    assert heard == ["third", "second", "first"]
