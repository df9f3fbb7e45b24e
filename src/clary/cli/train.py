"""``clary train``: a folder of pictures becomes a model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clary.errors import CustomerError, UsageError

if TYPE_CHECKING:
    from clary.local.evaluate import Evaluation
    from clary.local.run import Run


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    algorithm: Annotated[
        str | None, typer.Argument(help="What to train: classification, detection or segmentation.", show_default=False)
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Argument(help="A folder of pictures in any layout `clary data check` knows.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/NAME-N]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A hyperparameter, by SageMaker's name.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of order, augmentation and first weights.")] = None,
    labels: Annotated[str | None, typer.Option(help="What to tell apart, as breeds or species.")] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share held out where there is no validation split.  [default: 0.2]")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A run or model.tar.gz to go on from, for these or for other classes.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run: `clary train --resume RUN`.")] = False,
) -> None:
    """Train a model on a data set.

    Settings not given are those that work on a few hundred to a few thousand pictures: a pretrained
    EfficientNet-Lite0, fine-tuned. With --set num_layers=50 it is SageMaker's ResNet.

    A run that was stopped goes on with `clary train --resume RUN`, with --epochs to a later end.
    """
    from clary.cli.training_progress import progress
    from clary.local.train import train as run_training

    if resume and dataset is None:
        # The one word is the run's folder, unless that is --out.
        print_run(_go_on(_only_run(algorithm, out, [setting, seed, labels, validation, model]), epochs))
        return
    task, pictures = _what_and_on_which(algorithm, dataset)
    settings = dict(_pair(text) for text in setting or [])
    # Given twice and alike is fine: a script may add an option to what it has in --set.
    for name, value in (("epochs", epochs), ("seed", seed)):
        if value is not None and settings.setdefault(name, str(value)) != str(value):
            raise UsageError(f"`{name}` is given twice", hint="give it once, as an option or with --set")
    with progress() as hooks:
        run = run_training(
            task,
            pictures,
            out=out,
            labels=labels,
            validation=validation,
            model=model,
            resume=resume,
            hooks=hooks,
            progress=False,
            settings=settings,
        )
    print_run(run)


def _what_and_on_which(algorithm: str | None, dataset: Path | None) -> tuple[str, Path]:
    # Pictures first, or pictures alone: the commonest slips.
    if algorithm is not None and Path(algorithm).is_dir():
        what = dataset if dataset is not None and not dataset.exists() else "classification"
        hint = f"`clary train {what} {shlex.quote(algorithm)}`"
        raise UsageError("what to train comes before the pictures", hint=hint)
    if algorithm is None or dataset is None:
        hint = "`clary train classification PICTURES`, or `clary train --resume RUN`"
        raise UsageError("give what to train and on which pictures", hint=hint)
    return algorithm, dataset


def print_run(run: Run) -> None:
    """What the run reached, and what to do with it."""
    from clary.vision.tasks import main_metric

    numbers = run.metrics
    name = main_metric([key.removeprefix("validation:") for key in numbers])
    tested = _test(run)
    reached = f"validation {name} {numbers[f'validation:{name}']:.4f}" if name else "trained on all pictures"
    typer.echo(f"{reached} (epoch {numbers['best_epoch'] + 1} of {numbers['epochs']}), {numbers['seconds']:.1f} s")
    if tested:
        typer.echo(f"test:   {tested.summary()}")
    typer.echo(f"model:  {run.model}")
    # The extra `report`; a trained model is none the worse.
    if find_spec("matplotlib") and find_spec("jinja2"):
        from clary.local.report import write

        # With what was measured just now: the report would measure it again.
        typer.echo(f"report: {write(run, evaluation=tested)}")
    path = shlex.quote(str(run.path))
    typer.echo(f"next:   clary predict {path} PICTURE...   clary serve {path}")


def _go_on(folder: Path, epochs: int | None) -> Run:
    from clary.cli.training_progress import progress
    from clary.local.resume import resume

    with progress() as hooks:
        return resume(folder, epochs=epochs, progress=False, hooks=hooks)


def _only_run(word: str | None, out: Path | None, given: Sequence[object]) -> Path:
    """The folder of the run that `--resume` is to go on with. Raises UsageError."""
    if (word is None) == (out is None):
        raise UsageError("a run to resume is not named", hint="write `clary train --resume RUN`")
    if any(value is not None for value in given):
        what = "a run goes on with the settings it was started with"
        raise UsageError(what, hint="give --epochs alone, or start anew without --resume")
    return Path(word) if word is not None else out or Path()


def _test(run: Run) -> Evaluation | None:
    """What `clary evaluate` gives on the test split; None where there is none, or nothing says how to measure it."""
    from clary.cli.output import note, progress
    from clary.local import provenance
    from clary.local.evaluate import evaluate

    try:
        data = provenance.dataset(run)
        if not data.splits.get("test"):
            return None
        with progress("testing", len(data.splits["test"])) as advance:
            found = evaluate(run, data, split="test", advance=advance)
        run.record_test(found.metrics, found.count)
        return found
    # The model is there, whatever became of the pictures since.
    except CustomerError as error:
        note(f"not tested: {error}")
        return None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"`--set {text}` is not NAME=VALUE", hint="write it as --set learning_rate=0.01")
    return name.strip(), value
