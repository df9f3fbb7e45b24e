"""Endpoints as clients of AWS use them: real boto3, a real server, real workers."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from clary.control import resources
from clary.control.hosting.supervisor import Hosting
from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.platform import Platform
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.control.wire.app import create_app
from clary.vision.inference import server as sockets
from clary.vision.inference.predictor import load

IMAGE = "433757028032.dkr.ecr.us-west-2.amazonaws.com/image-classification:1"
ROLE = "arn:aws:iam::000000000000:role/ClaryRole"


class Gateway:
    """The part of a gateway that endpoints need, on loopback in a thread. ``client`` gives real boto3 clients."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, warm=False, idle_after=0)
        self.objects = LocalStore(self.settings.s3_root)
        self.objects.create_bucket("models", "us-east-1")
        self.store = Store(self.settings.database)
        self._listener = sockets.bind("127.0.0.1", 0)
        self.url = sockets.address(self._listener)
        self._ready, self._thread = threading.Event(), threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        logs = LogStore(self.settings.logs_root)
        hosting = Hosting(self.settings, self.store, self.objects, logs)
        jobs: Any = None
        await hosting.start()
        platform = Platform(self.settings, self.store, self.objects, logs, jobs, hosting)
        resources.load()
        app = create_app(platform, region="us-east-1", account=self.settings.account, s3=_no_objects)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
        self._ready.set()
        await self._server.serve(sockets=[self._listener])
        await hosting.close()

    def __enter__(self) -> Gateway:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.store.close()

    def client(self, service: str) -> Any:
        return boto3.Session("x", "y", region_name="us-west-2").client(
            service, endpoint_url=self.url, config=Config(retries={"total_max_attempts": 1}, read_timeout=120)
        )


async def _no_objects(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request here is S3's")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, model_archive: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("home")) as gateway:
        gateway.objects.put("models", "cats/model.tar.gz", model_archive)
        with ExitStack() as stack:
            sagemaker, runtime = (gateway.client(name) for name in ("sagemaker", "sagemaker-runtime"))
            stack.callback(sagemaker.close)
            stack.callback(runtime.close)
            gateway.sagemaker, gateway.runtime = sagemaker, runtime  # type: ignore[attr-defined]
            yield gateway


@pytest.fixture(scope="module")
def sagemaker(gateway: Any) -> Any:
    return gateway.sagemaker


@pytest.fixture(scope="module")
def runtime(gateway: Any) -> Any:
    return gateway.runtime


@pytest.fixture(scope="module")
def deploy(sagemaker: Any) -> Callable[..., str]:
    """``deploy(name, variants=1, **config)``: the endpoint's ARN, once it is InService."""

    def make(name: str, variants: int = 1, **config: Any) -> str:
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/cats/model.tar.gz"}
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
        configure(sagemaker, name, name, variants, **config)
        arn: str = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)["EndpointArn"]
        assert wait(sagemaker, name)["EndpointStatus"] == "InService"
        return arn

    return make


def configure(sagemaker: Any, name: str, model: str, variants: int = 1, **config: Any) -> None:
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": f"v{number}",
                "ModelName": model,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "InitialVariantWeight": 1,
            }
            for number in range(variants)
        ],
        **config,
    )


def wait(sagemaker: Any, name: str) -> dict[str, Any]:
    """DescribeEndpoint once it is neither Creating nor Updating."""
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.config.delay, waiter.config.max_attempts = 0.05, 1200
    waiter.wait(EndpointName=name)
    answer: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    return answer


def refused(call: Callable[..., Any], **request: Any) -> dict[str, Any]:
    """The error a call is refused with: its Code and Message, and the response's other members."""
    with pytest.raises(ClientError) as error:
        call(**request)
    response = dict(error.value.response)
    return {**response, **response["Error"], "status": response["ResponseMetadata"]["HTTPStatusCode"]}


@pytest.fixture(scope="module")
def pets(deploy: Callable[..., str]) -> str:
    """An endpoint "Pets" in service: its ARN."""
    return deploy("Pets")


class TestLife:
    def test_created_described_listed_deleted(self, sagemaker, deploy, runtime, jpeg):
        arn = deploy("Short-Life", Tags=[])
        assert arn == "arn:aws:sagemaker:us-west-2:000000000000:endpoint/short-life"
        described = sagemaker.describe_endpoint(EndpointName="Short-Life")
        assert described["EndpointArn"] == arn
        assert described["EndpointConfigName"] == "Short-Life"
        (variant,) = described["ProductionVariants"]
        assert variant["VariantName"] == "v0"
        assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (1.0, 1.0)
        assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
        assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
        listed = sagemaker.list_endpoints(NameContains="Short", StatusEquals="InService")["Endpoints"]
        assert [one["EndpointArn"] for one in listed] == [arn]
        sagemaker.delete_endpoint_config(EndpointConfigName="Short-Life")
        sagemaker.delete_model(ModelName="Short-Life")
        body = runtime.invoke_endpoint(EndpointName="Short-Life", Body=jpeg(), ContentType="image/jpeg")["Body"]
        assert len(json.loads(body.read())) == 3
        sagemaker.delete_endpoint(EndpointName="Short-Life")
        missing = f'Could not find endpoint "{arn}".'
        for call in (sagemaker.describe_endpoint, sagemaker.delete_endpoint):
            error = refused(call, EndpointName="Short-Life")
            assert (error["Code"], error["Message"]) == ("ValidationException", missing)
        error = refused(runtime.invoke_endpoint, EndpointName="Short-Life", Body=b"x")
        assert (error["Code"], error["status"]) == ("ValidationError", 400)
        assert error["Message"] == "Endpoint Short-Life of account 000000000000 not found."

    def test_creating_until_it_is_in_service(self, sagemaker, gateway, pets):
        configure(sagemaker, "creating", "Pets")
        sagemaker.create_endpoint(
            EndpointName="creating", EndpointConfigName="creating", Tags=[{"Key": "a", "Value": "b"}]
        )
        described = sagemaker.describe_endpoint(EndpointName="creating")
        assert described["EndpointStatus"] == "Creating"
        arn = described["EndpointArn"]
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
        error = refused(gateway.runtime.invoke_endpoint, EndpointName="creating", Body=b"x")
        assert error["Code"] == "ValidationError"
        assert "not in service" in error["Message"]
        error = refused(sagemaker.update_endpoint, EndpointName="creating", EndpointConfigName="creating")
        assert error["Message"] == f'Cannot update in-progress endpoint "{arn}".'
        assert wait(sagemaker, "creating")["EndpointStatus"] == "InService"
        sagemaker.delete_endpoint(EndpointName="creating")

    def test_what_create_refuses(self, sagemaker, pets):
        error = refused(sagemaker.create_endpoint, EndpointName="Pets", EndpointConfigName="Pets")
        assert (error["Code"], error["Message"]) == (
            "ValidationException",
            f'Cannot create already existing endpoint "{pets}".',
        )
        error = refused(sagemaker.create_endpoint, EndpointName="pets", EndpointConfigName="Pets")
        assert "Cannot create already existing endpoint" in error["Message"]
        error = refused(sagemaker.create_endpoint, EndpointName="new", EndpointConfigName="None")
        assert error["Message"] == (
            'Could not find endpoint configuration "arn:aws:sagemaker:us-west-2:000000000000:endpoint-config/none".'
        )

    def test_a_failure_is_told(self, sagemaker, gateway, pets, model_archive):
        gateway.objects.put("models", "brief/model.tar.gz", model_archive)
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/brief/model.tar.gz"}
        sagemaker.create_model(ModelName="brief", ExecutionRoleArn=ROLE, PrimaryContainer=container)
        gateway.objects.delete("models", "brief/model.tar.gz")
        configure(sagemaker, "brief", "brief")
        sagemaker.create_endpoint(EndpointName="brief", EndpointConfigName="brief")
        with pytest.raises(Exception, match="Waiter EndpointInService failed"):
            wait(sagemaker, "brief")
        described = sagemaker.describe_endpoint(EndpointName="brief")
        assert described["EndpointStatus"] == "Failed"
        assert described["FailureReason"].startswith("Failed to download model data")
        assert "s3://models/brief/model.tar.gz" in described["FailureReason"]


class TestUpdate:
    def test_to_another_configuration_and_weights(self, sagemaker, runtime, deploy, jpeg):
        arn = deploy("changing")
        configure(sagemaker, "changing-2", "changing", variants=2)
        answer = sagemaker.update_endpoint(EndpointName="changing", EndpointConfigName="changing-2")
        assert answer["EndpointArn"] == arn
        described = wait(sagemaker, "changing")
        assert described["EndpointConfigName"] == "changing-2"
        assert [one["VariantName"] for one in described["ProductionVariants"]] == ["v0", "v1"]
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="changing", DesiredWeightsAndCapacities=[{"VariantName": "v0", "DesiredWeight": 0}]
        )
        body = {"EndpointName": "changing", "Body": jpeg(), "ContentType": "image/jpeg"}
        assert {runtime.invoke_endpoint(**body)["InvokedProductionVariant"] for _ in range(4)} == {"v1"}
        assert runtime.invoke_endpoint(**body, TargetVariant="v0")["InvokedProductionVariant"] == "v0"

    def test_what_is_refused(self, sagemaker, pets):
        error = refused(sagemaker.update_endpoint, EndpointName="none", EndpointConfigName="Pets")
        assert "Could not find endpoint" in error["Message"]
        error = refused(sagemaker.update_endpoint, EndpointName="Pets", EndpointConfigName="none")
        assert "Could not find endpoint configuration" in error["Message"]
        wanted = [{"VariantName": "v7", "DesiredWeight": 1}]
        error = refused(
            sagemaker.update_endpoint_weights_and_capacities, EndpointName="Pets", DesiredWeightsAndCapacities=wanted
        )
        assert error["Message"] == f'Endpoint "{pets}" has no variant "v7".'


class TestInvoke:
    def test_scores(self, runtime, pets, jpeg, model_archive):
        answer = runtime.invoke_endpoint(
            EndpointName="Pets", Body=jpeg(), ContentType="image/jpeg", Accept="*/*", CustomAttributes="trace=1"
        )
        assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "v0")
        assert answer["CustomAttributes"] == "trace=1"
        with load(model_archive) as model:
            expected = model.predict(jpeg())[0].scores
        np.testing.assert_allclose(json.loads(answer["Body"].read()), expected, atol=0.02)

    def test_json_lines(self, runtime, pets, jpeg):
        answer = runtime.invoke_endpoint(
            EndpointName="Pets", Body=jpeg(), ContentType="application/x-image", Accept="application/jsonlines"
        )
        assert list(json.loads(answer["Body"].read())) == ["prediction"]

    @pytest.mark.parametrize(
        ("body", "content_type", "status", "message"),
        [
            (b"no picture", "image/jpeg", 400, "the body is not a picture"),
            (b"1,2", "text/csv", 415, "content-type text/csv not supported"),
        ],
    )
    def test_the_model_refuses(self, runtime, pets, body, content_type, status, message):
        error = refused(runtime.invoke_endpoint, EndpointName="Pets", Body=body, ContentType=content_type)
        assert (error["Code"], error["status"], error["OriginalStatusCode"]) == ("ModelError", 424, status)
        assert error["OriginalMessage"].startswith(message)
        assert error["Message"].startswith(f'Received client error ({status}) from primary with message "{message}')
        assert error["Message"].endswith(
            "See https://us-west-2.console.aws.amazon.com/cloudwatch/home?region=us-west-2#logEventViewer:"
            "group=/aws/sagemaker/Endpoints/Pets in account 000000000000 for more information."
        )
        assert error["LogStreamArn"] == "arn:aws:logs:us-west-2:000000000000:log-group:/aws/sagemaker/Endpoints/Pets"

    def test_an_unknown_variant(self, runtime, pets):
        error = refused(runtime.invoke_endpoint, EndpointName="Pets", Body=b"x", TargetVariant="v9")
        assert (error["Code"], error["status"]) == ("ValidationError", 400)
        assert "Variant v9 not found" in error["Message"]

    def test_a_body_over_the_limit(self, runtime, pets):
        error = refused(runtime.invoke_endpoint, EndpointName="Pets", Body=bytes((6 << 20) + 1))
        assert error["Code"] == "ValidationError"
        assert "6291456" in error["Message"]

    def test_a_large_picture(self, runtime, pets):
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
        assert 5 << 20 < len(stream.getvalue()) < 6 << 20
        answer = runtime.invoke_endpoint(EndpointName="Pets", Body=stream.getvalue(), ContentType="image/png")
        assert len(json.loads(answer["Body"].read())) == 3


class TestAsync:
    def test_output_and_failure_become_objects(self, gateway, runtime, deploy, jpeg, tmp_path):
        places = {"S3OutputPath": "s3://models/out", "S3FailurePath": "s3://models/failed/"}
        deploy("later", AsyncInferenceConfig={"OutputConfig": places})
        (tmp_path / "picture").write_bytes(jpeg())
        (tmp_path / "text").write_bytes(b"no picture")
        for name in ("picture", "text"):
            gateway.objects.put("models", f"in/{name}", tmp_path / name)
        request = {"EndpointName": "later", "ContentType": "image/jpeg"}
        answer = runtime.invoke_endpoint_async(**request, InputLocation="s3://models/in/picture", InferenceId="mine")
        assert (answer["InferenceId"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("mine", 202)
        assert len(json.loads(content(gateway, answer["OutputLocation"]))) == 3
        answer = runtime.invoke_endpoint_async(**request, InputLocation="s3://models/in/text")
        assert content(gateway, answer["FailureLocation"]) == b"the body is not a picture\n"
        answer = runtime.invoke_endpoint_async(**request, InputLocation="s3://models/in/none")
        assert b"s3://models/in/none" in content(gateway, answer["FailureLocation"])

    def test_what_is_refused(self, runtime, pets):
        place = "s3://models/in/picture"
        error = refused(runtime.invoke_endpoint_async, EndpointName="Pets", InputLocation=place)
        assert (error["Code"], "has no AsyncInferenceConfig" in error["Message"]) == ("ValidationError", True)
        error = refused(runtime.invoke_endpoint_async, EndpointName="none", InputLocation=place)
        assert error["Message"] == "Endpoint none of account 000000000000 not found."


def content(gateway: Gateway, uri: str) -> bytes:
    """The object, once it is there."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")

    async def there() -> None:
        async with asyncio.timeout(60):
            while not any(one.key == key for one in gateway.objects.list(bucket, key)):
                await asyncio.sleep(0.01)

    asyncio.run(there())
    with gateway.objects.open(bucket, key) as file:
        return file.read()
