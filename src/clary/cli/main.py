"""The command line: one file a verb; errors become one line on standard error and an exit code.

Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import functools
import importlib
import io
import pkgutil
import re
import sys
from typing import Annotated

import typer

import clary.cli
from clary.errors import ClaryError, HyperparameterError, UsageError
from clary.version import __version__

STOPPED = 130  # 128 and SIGINT, as a shell reports a program that the signal ended

# Of all that Typer finds wrong with the words of a command: click's class, or the copy of it that Typer has.
_Mistake: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="clary",
    help="The SageMaker computer-vision workflow on your own machine.\n\nBegin with `clary quickstart`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@functools.cache  # called again it would register every verb again, and typer build all of them
def load_verbs() -> None:
    """A module of this package that offers ``register(app)`` is a verb, the others are what verbs share; names sort
    the help."""
    for module in pkgutil.iter_modules(clary.cli.__path__):
        register = getattr(importlib.import_module(f"clary.cli.{module.name}"), "register", None)
        if register is not None:
            register(app)


def _run() -> int:
    """Do what the command line says; the exit code. Raises UsageError for words that Typer does not know."""
    try:
        code = app(prog_name="clary", standalone_mode=False) or 0
    except _Mistake as mistake:
        if type(mistake).__name__ != "NoArgsIsHelpError":
            raise _in_one_line(mistake) from mistake
        print(mistake.ctx.get_help())  # type: ignore[attr-defined]  # of click's own class
        return UsageError.exit_code
    # What Typer makes of Ctrl-C, without a word.
    if code == STOPPED:
        print("clary: stopped", file=sys.stderr)
    return int(code)


def _in_one_line(mistake: Exception) -> UsageError:
    """What Typer says in four lines."""
    text = str(mistake.format_message())  # type: ignore[attr-defined]  # of click's own class
    text = re.sub(r" \(Possible options: (.*)\)$", r". Did you mean \1?", text)
    what, _, near = text.partition(". Did you mean ")
    context = getattr(mistake, "ctx", None)
    path = context.command_path if context else "clary"
    hint = f"did you mean {near}" if near else f"`{path} --help` says what there is"
    return UsageError(what[:1].lower() + what[1:].rstrip("."), hint=hint)


def main() -> None:
    """Entry point of the ``clary`` program."""
    # Paths are printed as the bytes they are; a name that is no UTF-8 would end the program.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    load_verbs()
    try:
        sys.exit(_run())
    except HyperparameterError as error:
        from clary.vision.base.hyperparameters import plainly

        print(f"clary: {plainly(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ClaryError as error:
        print(f"clary: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `clary data check | head`
        # Nobody reads any more; Python would complain there of what it cannot flush when it ends.
        sys.stderr.close()
        # 128 and SIGPIPE, as a shell reports a program that the signal ended.
        sys.exit(141)
