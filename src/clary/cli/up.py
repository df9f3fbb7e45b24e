"""``clary up``: the platform, until stopped."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from clary.cli.platform_options import Config, Home, folder
from clary.cli.server_options import AllowedHost
from clary.control.configuration import FILE, configuration_of
from clary.control.settings import DEFAULT_PORT, Settings, default_home

if TYPE_CHECKING:
    from clary.control.home import Server

SubstituteWeights = Annotated[
    bool,
    typer.Option(
        "--substitute-weights",
        help="Jobs whose pretrained weights are not to be had train the packaged network (EfficientNet-Lite0) "
        "instead; log, manifest and `clary jobs` say so.",
        envvar="CLARY_SUBSTITUTE_WEIGHTS",
    ),
]


def register(app: typer.Typer) -> None:
    app.command("up")(up)


def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback requires signed requests.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", envvar="CLARY_PORT", min=0, max=65535)
    ] = DEFAULT_PORT,
    home: Home = None,
    config: Config = None,
    store: Annotated[
        str, typer.Option(help="Database of jobs and models, as postgresql+psycopg://...", show_default="SQLite")
    ] = "",
    s3_endpoint: Annotated[
        str, typer.Option(help="An S3 service to use in place of the folder DIR/s3.", metavar="URL")
    ] = "",
    idle_after: Annotated[
        float, typer.Option(help="Seconds without a call after which an endpoint gives its memory back.", min=0)
    ] = 900.0,
    require_signatures: Annotated[
        bool, typer.Option("--require-signatures", help="Refuse requests that are not signed, on loopback too.")
    ] = False,
    allowed_host: AllowedHost = None,
    warm: Annotated[
        bool, typer.Option("--warm/--no-warm", help="Keep the training libraries loaded, so that jobs start at once.")
    ] = True,
    substitute_weights: SubstituteWeights = False,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background once it is up.")] = False,
) -> None:
    """Start the platform: SageMaker, S3, CloudWatch, STS and IAM on one port, for programs written for AWS."""
    from clary.client import gateway

    # In a connected shell an S3 of AWS must stay what it is.
    os.environ.pop("CLARY_ENDPOINT", None)
    # Before anything is started: who is refused has changed nothing.
    configuration = configuration_of(folder(home), config.expanduser().absolute() if config else None)
    settings = Settings(
        home=folder(home),
        host=host,
        port=port,
        store_url=store,
        s3_endpoint=s3_endpoint,
        idle_after=idle_after,
        verify_signatures=require_signatures,
        allowed_hosts=tuple(allowed_host or ()),
        warm=warm,
        substitute_weights=substitute_weights,
        configuration=configuration,
    )
    if detach:
        _in_background(settings)
    elif (server := gateway.present(settings.home)) is not None:
        _tell_of_another(server, settings)
    else:
        _here(settings)


def options(settings: Settings) -> list[str]:
    """The words after `clary up --home DIR` that start a gateway with ``settings``."""
    words = ["--host", settings.host, "--port", str(settings.port), "--idle-after", str(settings.idle_after)]
    words += ["--store", settings.store_url] if settings.store_url else []
    words += ["--s3-endpoint", settings.s3_endpoint] if settings.s3_endpoint else []
    words += ["--require-signatures"] if settings.verify_signatures else []
    words += [word for name in settings.allowed_hosts for word in ("--allowed-host", name)]
    file = settings.configuration.file
    words += ["--config", str(file)] if file not in (None, settings.home / FILE) else []
    words += ["--substitute-weights"] if settings.substitute_weights else []
    return words if settings.warm else [*words, "--no-warm"]


def _here(settings: Settings) -> None:
    try:
        from clary.control.gateway import serve
    except ModuleNotFoundError as error:
        from clary.errors import MissingPackageError

        raise MissingPackageError(f"the platform needs {error.name}", hint='pip install "clary[platform]"') from error
    serve(settings, ready=lambda running: _tell(running.url, running.home, "Ctrl-C"))


def _in_background(settings: Settings) -> None:
    from clary.client import gateway

    server, started = gateway.running_or_started(settings.home, options(settings))
    if started:
        _tell(server.url, settings.home, _verb("down", settings.home))
    else:
        _tell_of_another(server, settings)


def _tell_of_another(server: Server, settings: Settings) -> None:
    """A script that starts the platform each time goes on; what was asked for in vain is said."""
    _tell(server.url, settings.home, _verb("down", settings.home), "is up already")
    any_port = (0, DEFAULT_PORT, urlsplit(server.url).port)
    usual = replace(Settings(home=settings.home), port=settings.port)
    if settings.port not in any_port or options(settings) != options(usual):
        typer.echo(f"options take effect after {_verb('down', settings.home)}", err=True)


def _tell(url: str, home: Path, stop: str, state: str = "is up") -> None:
    typer.echo(f"the platform {state} at {url}; its files are in {home} (stop with {stop})")
    typer.echo("programs written for SageMaker, boto3 or the AWS CLI run here unchanged:")
    typer.echo(f"  {_verb('run', home)} python program.py")
    typer.echo(f'  eval "$({_verb("env", home)})"; python program.py')
    typer.echo(f"then: {_verb('jobs', home)}, {_verb('logs', home)} JOB -f, {_verb('endpoints', home)}")


def _verb(name: str, home: Path) -> str:
    """The command as it has to be typed for this home."""
    # The shortest line that does it, to be copied.
    if home == folder(default_home()):
        return f"clary {name}"
    return f"clary {name} --home {shlex.quote(str(home))}"
