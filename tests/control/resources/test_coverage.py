"""docs/coverage.md tells the truth: a server is asked for every operation of the services that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from clary.control.wire.operation import OPERATIONS
from docs import coverage

from .conftest import Door

REFUSED = ("UnknownOperationException", "InvalidAction")
SERVICES = (
    *("sagemaker", "sagemaker-runtime", "sagemaker-metrics", "application-autoscaling"),
    *("sts", "iam", "logs", "cloudwatch"),
)


@pytest.fixture(scope="module")
def ask(door: Door) -> Callable[[str, str], str]:
    """``ask("sts", "GetCallerIdentity")``: the code of the error, empty where there is none."""
    session = boto3.session.Session("x", "y", region_name="eu-west-1")
    once: Any = {"parameter_validation": False, "inject_host_prefix": False, "retries": {"total_max_attempts": 1}}
    clients: dict[str, Any] = {}

    def ask(service: str, operation: str) -> str:
        if service not in clients:
            clients[service] = session.client(service, endpoint_url=door.url, config=Config(**once))
        client = clients[service]
        shape = client.meta.service_model.operation_model(operation).input_shape
        in_path = [n for n, m in shape.members.items() if m.serialization.get("location") == "uri"] if shape else []
        try:
            client._make_api_call(operation, dict.fromkeys(in_path, "any"))
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    return ask


@pytest.mark.usefixtures("platform")
@pytest.mark.parametrize("service", SERVICES)
def test_what_the_page_says_of_an_operation_the_server_does(service: str, ask: Callable[[str, str], str]) -> None:
    names = boto3.session.Session().client(service, region_name="eu-west-1").meta.service_model.operation_names
    answered = {name for name in names if ask(service, name) not in REFUSED}
    assert answered == {name for name in names if coverage.is_answered(service, name)}
    assert answered


def test_every_service_that_is_answered_is_asked() -> None:
    assert {service for service, _ in OPERATIONS} <= {*SERVICES}
