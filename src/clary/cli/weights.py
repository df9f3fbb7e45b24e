"""``clary weights``: where pretrained weights are, and adding one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    weights = typer.Typer(help="List pretrained weights, or add a file of them.", invoke_without_command=True)
    weights.callback()(_default)
    weights.command("list")(list_weights)
    weights.command("add")(add)
    app.add_typer(weights, name="weights")


def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_weights()


def list_weights() -> None:
    """List the networks whose pretrained weights are on this machine."""
    from clary.cli.output import table
    from clary.vision.models import weights

    table(
        "Pretrained weights",
        ["backbone", "from"],
        [[source.architecture, source.origin] for source in weights.sources()],
    )


def add(
    name: Annotated[str, typer.Argument(help="A timm network, as resnet50.")],
    file: Annotated[Path, typer.Argument(help="Its weights: .safetensors, or a .pth of tensors.")],
) -> None:
    """Check that FILE fits the network NAME and keep a copy in the weights folder."""
    from clary.vision.models import weights

    typer.echo(weights.add(name, file))
