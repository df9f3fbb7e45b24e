"""A run in a notebook: one display that is written anew, and at its end pictures with what the model says of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from IPython.display import display

from clary.errors import ClaryError
from clary.local.progress._base import (
    View,
    end_said,
    epoch_said,
    notes_said,
    pictures_per_second,
    start_said,
)
from clary.vision.base.events import BatchEnd, EpochEnd, Preparation, RunEnd, RunStart
from clary.vision.base.other_programs import OtherPrograms

if TYPE_CHECKING:
    from clary.local.gallery import Shown
    from clary.local.run import Run
    from clary.vision.base.types import TaskName

__all__ = ["Display"]

# Chosen: movement is seen, and a slow connection to the notebook keeps up.
EVERY = 0.5  # seconds between two changes of the display
CURVES_SHARE = 0.05  # of the time that drawing curves may take
EPOCHS_SHOWN = 5
PICTURES = 8

# Colours of the notebook's theme where it has them (JupyterLab), so that curves can be read in the dark too.
STYLE = """
<style>
.clary-run {font-size: 13px; line-height: 1.5; max-width: 1100px; --ink: var(--jp-content-font-color1, #24292f);
  --muted: var(--jp-content-font-color2, #656d76); --line: var(--jp-border-color2, #d0d7de)}
.clary-run .muted {color: var(--muted)}
.clary-run .wrong {color: var(--jp-error-color1, #c62828)}
.clary-run svg {width: 300px; height: auto}
.clary-run progress {width: 240px; vertical-align: middle}
.clary-run table {border-collapse: collapse; margin: 4px 0; font-size: inherit}
.clary-run td {text-align: left; padding: 0 18px 0 0; border: 0; background: none}
.clary-run .row {display: flex; flex-wrap: wrap; gap: 10px; align-items: flex-end}
.clary-run figure {margin: 0; max-width: 300px}
.clary-run figure img {height: 150px; margin: 0}
.clary-run figcaption {font-size: 12px}
</style>"""


class Display(View):
    """Shows itself when it is made; ``_repr_html_`` is what a notebook shows, ``repr`` is for a terminal."""

    def __init__(self) -> None:
        self._others = OtherPrograms()
        self._phase, self._remark = "starting", ""
        self._done, self._total = 0, cast(int | None, None)
        self._head: list[str] = []
        self._epochs = 0
        self._ended: list[str] = []
        self._history: list[EpochEnd] = []
        self._task: TaskName = ""
        self._curves = ""
        self._drawn, self._took = time.monotonic(), 0.0
        self._pictures: Sequence[Shown] = ()
        self._last = 0.0
        self._handle: Any = display(self, display_id=True)  # type: ignore[no-untyped-call]
        _load_quietly()

    # Events

    def on_preparation(self, event: Preparation) -> None:
        self._show(event.what, event.done, event.total, now=event.what != self._phase)

    def on_start(self, event: RunStart) -> None:
        self._epochs, self._steps = event.epochs, event.epochs * event.steps_per_epoch
        self._task = event.dataset.task if event.dataset is not None else ""
        self._head = [" · ".join(start_said(event))]
        self._head += [said for said in (*notes_said(event), str(self._others.sharing() or "")) if said]
        self._show("training", event.first_step, self._steps, now=True)

    def on_batch(self, event: BatchEnd) -> None:
        remark = f"{pictures_per_second(event.samples, event.seconds)}, loss {event.loss:.3f}"
        self._show(f"epoch {event.epoch + 1}/{self._epochs}", event.global_step, self._steps, remark)

    def on_epoch(self, event: EpochEnd) -> None:
        self._history.append(event)
        # A curve of one point is none; and drawing must not slow down short epochs.
        if len(self._history) > 1 and self._took <= CURVES_SHARE * (time.monotonic() - self._drawn):
            self._draw_curves()
        self._update()

    def on_end(self, event: RunEnd) -> None:
        self._ended = [end_said(event)]
        self._draw_curves()
        self._show("writing the model", 0, None, now=True)

    def on_close(self) -> None:
        # Stopped or failed: nothing moves any more. What follows a run that ended well says so itself.
        if not self._ended:
            self._show("", 0, None, now=True)

    def on_model(self, run: Run) -> None:
        self._show("trying the model on pictures", 0, None, now=True)
        try:
            said, self._pictures = _judged(run)
            self._ended.append(said)
        # The model is there, whatever became of the pictures since.
        except ClaryError as error:
            self._ended.append(f"no pictures: {error}")
        self._ended.append(f"model: {run.model}")
        self._show("", 0, None, now=True)

    # What is shown

    def _show(self, phase: str, done: int, total: int | None, remark: str = "", *, now: bool = False) -> None:
        self._phase, self._done, self._total, self._remark = phase, done, total, remark
        if now or time.monotonic() - self._last >= EVERY:
            self._update()

    def _update(self) -> None:
        self._last = time.monotonic()
        self._handle.update(self)

    def _draw_curves(self) -> None:
        begun = time.monotonic()
        self._curves = _curves(self._task, self._history)
        self._drawn = time.monotonic()
        self._took = self._drawn - begun

    def __repr__(self) -> str:
        epochs = [": ".join((first, "; ".join(rest))) for first, *rest in self._rows()]
        return "\n".join([*self._head, *epochs, *self._ended, *([self._phase] if self._phase else [])])

    def _repr_html_(self) -> str:
        first, *others = self._head or [""]
        parts = [f"<b>{escape(first)}</b>", *(f'<span class="muted">{escape(line)}</span>' for line in others)]
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        parts = ["<br>".join(filter(None, parts)), f"<table>{rows}</table>" if rows else "", self._bar()]
        parts += [f'<div class="row">{self._curves}</div>' if self._curves else ""]
        parts += ["<br>".join(map(escape, self._ended))]
        shown = "".join(map(_figure, self._pictures))
        parts += [f'<div class="row">{shown}</div>' if shown else ""]
        return f'{STYLE}<div class="clary-run">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'

    def _rows(self) -> list[list[str]]:
        """The best epoch and the newest ones."""
        best = [event for event in self._history if event.best][-1:]
        newest = self._history[-EPOCHS_SHOWN:]
        kept = [*(event for event in best if event not in newest), *newest]
        return [
            [*epoch_said(event, self._epochs), "best" if event in best and event.validation else ""] for event in kept
        ]

    def _bar(self) -> str:
        if not self._phase:
            return ""
        counted = f"{self._done:,}/{self._total:,}" if self._total else f"{self._done:,}" if self._done else ""
        value = f' value="{self._done}" max="{self._total}"' if self._total else ""
        remark = f'<span class="muted">{escape(self._remark)}</span>'
        return f"{escape(self._phase)} <progress{value}></progress> {counted} {remark}"


def _load_quietly() -> None:
    """What timm's hub would load, and which then warns of widgets that nobody asked for."""
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        import_module("tqdm.auto")


def _curves(task: TaskName, history: Sequence[EpochEnd]) -> str:
    """How metrics went, as the report draws it; empty where nothing can draw, or nobody said what is trained."""
    if not task:
        return ""
    try:
        from clary.local.sections import section_of
        from clary.vision.plots.render import svg
    # The extra `report`.
    except ClaryError:
        return ""
    records = [
        {
            "epoch": event.epoch,
            "train": event.train,
            "validation": event.validation,
            "learning_rate": event.learning_rate,
            "best": event.best,
        }
        for event in history
    ]
    return "".join(svg(figure, title) for title, figure in section_of(task).charts(records))


def _judged(run: Run) -> tuple[str, list[Shown]]:
    """What `clary evaluate` gives on what was not trained on, and some of its pictures with what the model says."""
    from clary.local import provenance
    from clary.local.evaluate import evaluate, open_network
    from clary.local.gallery import predicted

    with open_network(run) as network:
        data = provenance.dataset(run)
        found = evaluate(network, data)
        if found.split == "test":
            run.record_test(found.metrics, found.count)
        # From all over the split: its pictures stand class by class.
        some = found.samples[:: max(1, len(found.samples) // PICTURES)][:PICTURES]
        return found.summary(), predicted(network, data, some)


def _figure(shown: Shown) -> str:
    wrong = f' <span class="wrong">{escape(shown.wrong)}</span>' if shown.wrong else ""
    return f'<figure><img src="{shown.uri}" alt=""><figcaption>{escape(shown.caption)}{wrong}</figcaption></figure>'
