"""Going on with a run: what it was started with is read from its folder, so that naming the folder is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clary.errors import UsageError
from clary.local.config import RunConfig
from clary.local.execution import execute
from clary.local.progress import showing
from clary.local.run import Run
from clary.local.run_lock import held
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import Sink
from clary.vision.base.events import Hook
from clary.vision.base.files import remove_temporaries, write_json
from clary.vision.base.hyperparameters import as_text
from clary.vision.base.jobdir import JobDir
from clary.vision.base.spec import AnySpec
from clary.vision.base.torch_environment import set_torch_environment

__all__ = ["resume"]

MOST_EPOCHS = 1_000_000  # more are a slip of the hand; schedules are functions of the last


def resume(
    run: str | Path | Run,
    *,
    epochs: int | None = None,
    asked: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
    echo: Sink | None = None,
) -> Run:
    """Train a run on from its checkpoint, as it was started, and return it finished.

    ``epochs`` is how many it is to have in all, by default those it was started with; also of a run that has finished,
    whose model stays beside the new one as ``model.<n>-epochs.tar.gz``. ``asked`` (path, labels, validation, model,
    algorithm) and ``settings`` (hyperparameters as strings) are compared with what the run was started with.

    Raises UsageError, with nothing changed, when there is no such run, another process trains it, it has all its
    epochs, or anything given is not what it was started with; else as ``clary.train``.
    """
    # Before anything imports torch: OpenMP reads its variables once, when it is loaded.
    set_torch_environment()
    found = run if isinstance(run, Run) else Run(run)
    if not found.is_run():
        raise UsageError("there is no run to resume", where=found.path, hint="start it without --resume")
    # From the first look on: of two at once the second would go by numbers that the first is changing.
    with held(found.path / "config.json") as lock:
        config = found.config
        spec, job = find(str(config["algorithm"])), JobDir(found.path)
        _refuse_differing(spec, job, config, settings or {}, asked or {})
        _refuse_gone(config)
        before = int(spec.parse(job.hyperparameters)["epochs"])
        wanted = _wanted_epochs(found, before, epochs)
        # In the two last all is ours.
        for name in ("model.tar.gz", "report.html", "metrics.jsonl", "config.json", "model/*", "checkpoints/*"):
            remove_temporaries(found.path / name)
        # First: killed behind it, the run is one that has not finished, and is brought to the end it had.
        if found.finished:
            found.model.rename(found.path / f"model.{before}-epochs.tar.gz")
        if wanted != before:
            write_json(job.config / "hyperparameters.json", {**job.hyperparameters, "epochs": as_text(wanted)})
        # Also where only the first of the two files was written before a kill.
        if config["hyperparameters"].get("epochs") != wanted:
            lock.replace({**config, "hyperparameters": {**config["hyperparameters"], "epochs": wanted}})
        job.may_grow = True
        with showing(progress) as shown:
            return execute(spec, job, [*hooks, *shown], echo)


def _refuse_gone(config: RunConfig) -> None:
    """Raises UsageError where the data set is no longer where it was."""
    source = config["dataset"].get("path")
    if source and not Path(source).exists():
        raise UsageError("the data set is gone", where=source, hint="put it back, or a link to where it is now")


def _wanted_epochs(run: Run, before: int, epochs: int | None) -> int:
    """How many epochs the run is to have. Raises UsageError where there is nothing to go on to, or far too much."""
    if epochs is not None and epochs > MOST_EPOCHS:
        what = f"{epochs} epochs are asked for, and a run has at most {MOST_EPOCHS:,}"
        raise UsageError(what, where=run.path, hint="ask for fewer: it can be resumed again")
    if epochs is not None and epochs < before:
        what = f"was started for {before} epochs, {epochs} are asked for"
        raise UsageError(what, where=run.path, hint="ask for as many or more")
    if run.finished and epochs in (None, before):
        more = f"`{run.resume_command} --epochs {before + max(1, before // 2)}`"
        raise UsageError("this run has finished already", where=run.path, hint=f"give it more with {more}")
    return epochs or before


def _refuse_differing(
    spec: AnySpec, job: JobDir, config: RunConfig, given: Mapping[str, str], asked: Mapping[str, Any]
) -> None:
    """Raises UsageError naming whatever is given that differs from what the run was started with."""
    then: dict[str, Any] = {**config["dataset"], "algorithm": spec.name, "model": config.get("model", "none")}
    # Parsed before they are compared: 0.10 is what 0.1 was. Hyperparameters are compared apart from all else: one of
    # them may be called like a part of the record (`algorithm` of segmentation is).
    before, now = spec.parse(job.hyperparameters), spec.parse({**job.hyperparameters, **given})
    pairs = [(name, before[name], now[name]) for name in given]
    pairs += [(name, then[name], value) for name, value in asked.items() if value is not None]
    differing = ", ".join(f"{name}: {one} then, {other} now" for name, one, other in pairs if one != other)
    if differing:
        raise UsageError(
            f"was started with other settings ({differing})", where=job.root, hint="leave them out, or start anew"
        )
