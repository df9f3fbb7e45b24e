"""The descriptions: found, routed, and every pattern of them readable."""

from __future__ import annotations

import subprocess
import sys

import pytest
from botocore.loaders import Loader

from clary.control.wire.patterns import ENDLESS, compiled
from clary.control.wire.services import TARGETS, VERSIONS, describe, of_signing_name

ANSWERED = ["sagemaker", "sagemaker-runtime", "sagemaker-metrics", "logs", "cloudwatch", "sts", "iam"]


def test_only_the_service_asked_for_is_read():
    code = (
        "import sys; from clary.control.wire import app, services\n"
        "assert services.describe.cache_info().currsize == 0\n"
        "services.describe('sts')\n"
        "assert services.describe.cache_info().currsize == 1\n"
        "heavy = {'boto3', 'botocore.loaders', 'botocore.session', 'urllib3', 'sqlalchemy', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_descriptions_hold_no_documentation():
    for shape in describe("sts").shapes.values():
        assert "documentation" not in shape
    # a member of that name stays
    members = {name for shape in describe("sagemaker").shapes.values() for name in shape.get("members", {})}
    assert "TrainingJobName" in members


def test_services_by_signing_name():
    assert "sagemaker-runtime" in of_signing_name("sagemaker")
    assert of_signing_name("monitoring") == ("cloudwatch",)
    assert of_signing_name("lambda") == ("lambda",)
    for nothing in ("", "nosuch", "..", "../data", "sagemaker/..", "SAGEMAKER"):
        assert of_signing_name(nothing) == ()


def _metadata(service: str) -> dict[str, str]:
    found: dict[str, str] = Loader().load_service_model(service, "service-2")["metadata"]
    return found


def test_tables_agree_with_the_descriptions():
    for prefix, service in TARGETS.items():
        assert _metadata(service)["targetPrefix"] == prefix
    for version, service in VERSIONS.items():
        assert _metadata(service)["apiVersion"] == version
        assert "query" in describe(service).protocols
    assert describe("cloudwatch").query_compatible
    assert not describe("sagemaker").query_compatible


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/endpoints/cats/invocations", ("InvokeEndpoint", {"EndpointName": "cats"})),
        ("POST", "/endpoints/a%20b/async-invocations", ("InvokeEndpointAsync", {"EndpointName": "a b"})),
        ("GET", "/endpoints/cats/invocations", None),
        ("POST", "/endpoints/a/b/invocations", None),
        ("POST", "/endpoints//invocations", None),
        ("POST", "/", None),
    ],
)
def test_rest_operations_by_path(method, path, expected):
    found = describe("sagemaker-runtime").find(method, path)
    assert (found and (found[0].name, found[1])) == expected


def test_errors_by_name_and_by_code():
    iam = describe("iam")
    assert iam.error("NoSuchEntity") == iam.error("NoSuchEntityException")
    assert (iam.error("NoSuchEntity") or [""])[0] == "NoSuchEntityException"
    assert iam.error("Nothing") is None


@pytest.mark.parametrize("service", ANSWERED)
def test_every_pattern_can_be_read(service):
    patterns = {shape["pattern"] for shape in describe(service).shapes.values() if "pattern" in shape}
    assert [pattern for pattern in patterns - ENDLESS if compiled(pattern) is None] == []
