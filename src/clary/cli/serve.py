"""``clary serve MODEL``: an endpoint with SageMaker's inference contract."""

from __future__ import annotations

from typing import Annotated

import typer

from clary.cli.engine_options import EngineName, PrecisionName
from clary.cli.server_options import AllowedHost


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    model: Annotated[str, typer.Argument(help="model.tar.gz, the folder of one, or a run.", metavar="MODEL")],
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", envvar="SAGEMAKER_BIND_TO_PORT", min=0, max=65535)
    ] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    engine: EngineName = "auto",
    precision: PrecisionName = "auto",
    allowed_host: AllowedHost = None,
) -> None:
    """Serve a model over HTTP: GET /ping, POST /invocations, and a page to drop pictures on at /."""
    try:
        from clary.vision.inference import server
        from clary.vision.inference.app import create_app
        from clary.vision.inference.callers import HostNames
    except ModuleNotFoundError as error:
        from clary.errors import MissingPackageError

        raise MissingPackageError(f"serving needs {error.name}", hint='pip install "clary[serve]"') from error
    from clary.vision.base.cores import cores
    from clary.vision.inference.predictor import load

    names = HostNames(host, allowed=allowed_host or ())
    # The port first: that it is taken is told at once, not after the model was loaded.
    with server.bind(host, port) as listener, load(model, engine, streams=cores(), precision=precision) as loaded:
        url = server.address(listener)

        # Not before the app is warm: who reads the line may send a request.
        def ready() -> None:
            typer.echo(f"{model}: {len(loaded.labels)} classes, {loaded.engine}")
            typer.echo(f"serving at {url} (stop with Ctrl-C)")
            typer.echo(f"try: curl -H 'Content-Type: image/jpeg' --data-binary @picture.jpg {url}/invocations")

        server.run(create_app(loaded, names=names, ready=ready), listener)
