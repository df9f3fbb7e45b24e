"""``clary endpoints``: the platform's endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from clary.cli.platform_options import Home, Json, folder
from clary.errors import UsageError

if TYPE_CHECKING:
    from clary.client.connection import Connection

COLUMNS = ("name", "status", "models", "created", "remarks")


def register(app: typer.Typer) -> None:
    app.command("endpoints")(endpoints)


def endpoints(home: Home = None, json: Json = False) -> None:
    """List endpoints, the newest first."""
    from clary.cli.jobs import moment
    from clary.cli.output import emit, note, table
    from clary.client.connection import connect

    with connect(folder(home)) as connection:
        found = list(connection.pages("sagemaker", "ListEndpoints", "Endpoints", SortBy="CreationTime"))
        # Inside the block: the calls for each endpoint go over the connection that is open.
        records = [_record(endpoint, connection) for endpoint in found]
    if json:
        emit(records)
    else:
        # Of the reason its first line, which says how to mend it; the traceback below is for `clary logs`.
        rows = [
            [r["name"], r["status"], ", ".join(r["models"]), moment(r["created"]), r["reason"].partition("\n")[0]]
            for r in records
        ]
        table("", COLUMNS, rows, sentences=True)
        if not rows:
            note("no endpoints")


def _record(summary: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    endpoint = connection.call("sagemaker", "DescribeEndpoint", EndpointName=summary["EndpointName"])
    return {
        "name": endpoint["EndpointName"],
        "status": endpoint["EndpointStatus"],
        "models": _models(endpoint["EndpointConfigName"], connection),
        "created": endpoint["CreationTime"],
        "reason": endpoint.get("FailureReason", ""),
    }


def _models(config: str, connection: Connection) -> list[str]:
    """The models of the configuration; none once it is deleted, which the endpoint outlives."""
    try:
        described = connection.call("sagemaker", "DescribeEndpointConfig", EndpointConfigName=config)
    except UsageError as error:
        if "Could not find" not in error.what:
            raise
        return []
    return [variant["ModelName"] for variant in described["ProductionVariants"] if variant.get("ModelName")]
