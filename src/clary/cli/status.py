"""``clary status``: whether the platform runs, where, and what it does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from clary.cli.platform_options import Home, Json, folder


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(home: Home = None, json: Json = False) -> None:
    """Show the platform's address, its jobs and endpoints. Exit code 2 where none runs."""
    from clary.cli.jobs import KINDS
    from clary.cli.output import emit, table
    from clary.client import gateway
    from clary.client.connection import Connection

    server = gateway.running(folder(home))
    # A lock that is held says that a process lives, not that it answers.
    gateway.health(server)
    with Connection(server) as connection:
        jobs = [job for kind in KINDS for job in kind.summaries(connection, StatusEquals="InProgress")]
        doing = Counter("queued" if job.get("SecondaryStatus") == "Pending" else "running" for job in jobs)
        endpoints = Counter(e["EndpointStatus"] for e in connection.pages("sagemaker", "ListEndpoints", "Endpoints"))
    found: dict[str, Any] = {
        "url": server.url,
        "pid": server.pid,
        "version": server.version,
        "home": server.home,
        "objects": str(folder(home) / "s3"),
        "started": server.started,
        "jobs": {"running": doing["running"], "queued": doing["queued"]},
        "endpoints": dict(endpoints),
        "opt_ml": _opt_ml(),
    }
    if json:
        emit(found)
    else:
        table("", ("platform", server.url), _rows(found))


def _opt_ml() -> str:
    """Which way jobs have their /opt/ml on this machine."""
    from clary.control.jobs.launchers.local import namespace
    from clary.toolkit.opt_ml import can_link, permitting_command

    if namespace.available():
        return "each job has its own"
    if can_link():
        return "no mount namespaces here: one script at a time, by links"
    return f"no mount namespaces here, so that scripts cannot run; permit them: {permitting_command()}"


def _rows(found: dict[str, Any]) -> list[list[str]]:
    from clary.cli.jobs import moment

    jobs, endpoints = found["jobs"], found["endpoints"]
    return [
        ["process", f"{found['pid']}, Clary {found['version']}, since {moment(found['started'])}"],
        ["home", found["home"]],
        ["objects", found["objects"]],
        ["/opt/ml", found["opt_ml"]],
        ["jobs", f"{jobs['running']} running, {jobs['queued']} queued"],
        ["endpoints", ", ".join(f"{count} {status}" for status, count in endpoints.items()) or "none"],
    ]
