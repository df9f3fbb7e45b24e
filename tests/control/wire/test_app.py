"""The application, spoken to by real AWS clients over a real connection."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.wire import app as app_module
from clary.control.wire.app import BODY_LIMIT, create_app
from clary.control.wire.asgi import Head, Response
from clary.control.wire.errors import ServiceError
from clary.control.wire.operation import call
from clary.errors import UsageError
from clary.vision.inference.callers import HostNames

ARN = "arn:aws:sagemaker:us-east-1:000000000000:training-job/a"
WHEN = datetime(2024, 5, 6, 7, 8, 9, 120_000, tzinfo=UTC)


def fetch(url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request, whatever its status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, headers=named)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def test_json_service_answers(operations, serving, make_app, client):
    seen: list[Any] = []

    def describe(context: object, request: dict[str, Any]) -> dict[str, Any]:
        seen.append((context, request, call()))
        return {
            "TrainingJobName": request["TrainingJobName"],
            "TrainingJobArn": ARN,
            "CreationTime": WHEN,
            "LastModifiedTime": WHEN.timestamp(),
            "HyperParameters": {"epochs": "3"},
            "TrainingStartTime": None,
            "_phase": "running",
        }

    operations["sagemaker", "DescribeTrainingJob"] = describe
    answer = client("sagemaker", serving(make_app("the platform"))).describe_training_job(TrainingJobName="a-1")
    assert answer.pop("ResponseMetadata")["RequestId"] == seen[0][2].request_id
    assert answer == {
        "TrainingJobName": "a-1",
        "TrainingJobArn": ARN,
        "CreationTime": WHEN,
        "LastModifiedTime": WHEN,
        "HyperParameters": {"epochs": "3"},
    }
    context, request, current = seen[0]
    assert (context, request) == ("the platform", {"TrainingJobName": "a-1"})
    assert (current.service, current.operation, current.region) == ("sagemaker", "DescribeTrainingJob", "eu-west-1")
    assert current.headers["x-amz-target"] == "SageMaker.DescribeTrainingJob"


def test_async_functions_are_awaited_and_no_output_is_an_empty_body(operations, serving, make_app, client):
    async def stop(context: object, request: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    operations["sagemaker", "StopTrainingJob"] = stop
    url = serving(make_app())
    assert client("sagemaker", url).stop_training_job(TrainingJobName="a")["ResponseMetadata"]["HTTPStatusCode"] == 200
    status, headers, body = fetch(url, b'{"TrainingJobName":"a"}', X_Amz_Target="SageMaker.StopTrainingJob")
    assert (status, body) == (200, b"")
    assert headers["x-amzn-requestid"]


def test_modelled_errors_are_the_clients_own_exceptions(operations, serving, make_app, client):
    def missing(context: object, request: dict[str, Any]) -> None:
        raise ServiceError("ResourceNotFound", "Requested resource not found.")

    operations["sagemaker", "DescribeTrainingJob"] = missing
    sagemaker = client("sagemaker", serving(make_app()))
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="Requested resource not found") as caught:
        sagemaker.describe_training_job(TrainingJobName="a")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"


def test_query_services_answer(operations, serving, make_app, client):
    identity = {"Arn": "arn:aws:sts::0:assumed-role/A<&>B/s", "Account": "000000000000", "UserId": "u"}
    operations["sts", "GetCallerIdentity"] = lambda context, request: identity
    answer = client("sts", serving(make_app())).get_caller_identity()
    assert len(answer.pop("ResponseMetadata")["RequestId"]) == 36
    assert answer == identity


@pytest.mark.parametrize("code", ["NoSuchEntity", "NoSuchEntityException"])
def test_query_errors_carry_the_described_code_and_status(operations, serving, make_app, client, code):
    def missing(context: object, request: dict[str, Any]) -> None:
        raise ServiceError(code, "no role <x>")

    operations["iam", "GetRole"] = missing
    iam = client("iam", serving(make_app()))
    with pytest.raises(iam.exceptions.NoSuchEntityException, match="no role <x>") as caught:
        iam.get_role(RoleName="x")
    assert caught.value.response["Error"]["Code"] == "NoSuchEntity"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_cloudwatch_speaks_json_and_tells_query_codes(operations, serving, make_app, client):
    def statistics(context: object, request: dict[str, Any]) -> dict[str, Any]:
        return {"Label": request["MetricName"], "Datapoints": [{"Timestamp": request["StartTime"], "Average": 0.5}]}

    def dashboard(context: object, request: dict[str, Any]) -> None:
        raise ServiceError("DashboardNotFoundError", "no such dashboard")

    operations["cloudwatch", "GetMetricStatistics"] = statistics
    operations["cloudwatch", "GetDashboard"] = dashboard
    cloudwatch = client("cloudwatch", serving(make_app()))
    times = {"StartTime": WHEN, "EndTime": WHEN}
    answer = cloudwatch.get_metric_statistics(
        Namespace="n", MetricName="loss", Period=60, Statistics=["Average"], **times
    )
    assert answer["Datapoints"] == [{"Timestamp": WHEN, "Average": 0.5}]
    with pytest.raises(ClientError) as caught:
        cloudwatch.get_dashboard(DashboardName="d")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
    assert caught.value.response["Error"]["Type"] == "Sender"


def test_cloudwatch_speaks_query_to_older_clients(operations, serving, make_app):
    operations["cloudwatch", "GetMetricStatistics"] = lambda context, request: {
        "Label": "/".join(request["Statistics"]),
        "Datapoints": [{"Timestamp": request["StartTime"], "Average": 0.5}],
    }
    form = (
        "Action=GetMetricStatistics&Version=2010-08-01&Namespace=n&MetricName=loss&Period=60"
        "&StartTime=2024-05-06T07%3A08%3A09Z&EndTime=2024-05-06T07%3A09%3A09Z"
        "&Statistics.member.1=Average&Statistics.member.2=Sum&Dimensions.member.1.Name=Job&Dimensions.member.1.Value=a"
    )
    status, headers, body = fetch(serving(make_app()), form.encode())
    assert (status, headers["content-type"]) == (200, "text/xml")
    assert b"<Label>Average/Sum</Label>" in body
    assert b"<Timestamp>2024-05-06T07:08:09Z</Timestamp><Average>0.5</Average>" in body


def test_large_forms_may_come_compressed(operations, serving, make_app, client):
    seen: list[Any] = []
    operations["cloudwatch", "PutMetricData"] = lambda context, request: seen.append(request)
    data = [{"MetricName": f"metric-{number}", "Value": float(number)} for number in range(500)]
    url = serving(make_app())
    client("cloudwatch", url, request_min_compression_size_bytes=1).put_metric_data(Namespace="n", MetricData=data)
    assert seen == [{"Namespace": "n", "MetricData": data}]
    bomb = gzip.compress(b" " * (BODY_LIMIT + 1))
    target = {"X_Amz_Target": "GraniteServiceVersion20100801.PutMetricData", "Content_Encoding": "gzip"}
    status, _, body = fetch(url, bomb, **target)
    assert status == 400
    assert str(BODY_LIMIT).encode() in body
    for damaged in (b"no gzip", gzip.compress(b"{}")[:-4]):
        status, _, body = fetch(url, damaged, **target)
        assert (status, json.loads(body)["__type"]) == (400, "SerializationException")


def test_runtime_carries_the_body_and_headers(operations, serving, make_app, client):
    def invoke(context: object, request: dict[str, Any]) -> dict[str, Any]:
        if request["EndpointName"] == "broken":
            members = {"OriginalStatusCode": 500, "OriginalMessage": "boom", "LogStreamArn": "arn"}
            raise ServiceError("ModelError", "Received server error (500) from primary", members=members)
        assert request["ContentType"] == "image/jpeg"
        body = request["Body"][::-1]
        return {
            "Body": body,
            "ContentType": "application/json",
            "InvokedProductionVariant": "A",
            "CustomAttributes": "é\r\nx: y",
        }

    operations["sagemaker-runtime", "InvokeEndpoint"] = invoke
    runtime = client("sagemaker-runtime", serving(make_app()))
    answer = runtime.invoke_endpoint(EndpointName="cats", Body=b"\x00\xff1", ContentType="image/jpeg")
    assert answer["Body"].read() == b"1\xff\x00"
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "A")
    assert "x" not in answer["ResponseMetadata"]["HTTPHeaders"]
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="broken", Body=b"")
    assert caught.value.response["OriginalStatusCode"] == 500
    assert caught.value.response["OriginalMessage"] == "boom"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424


@pytest.mark.parametrize("size", [6_291_457, BODY_LIMIT + 1])
@pytest.mark.parametrize("signed", [False, True])
def test_runtime_names_the_limit_of_a_payload(operations, serving, make_app, client, size, signed):
    operations["sagemaker-runtime", "InvokeEndpoint"] = lambda context, request: {"Body": b""}
    secret = "secret"
    app = make_app(credentials={"AKIDEXAMPLE": secret} if signed else None)
    runtime = client("sagemaker-runtime", serving(app), secret=secret)
    limit = "Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 6291456"
    with pytest.raises(runtime.exceptions.ValidationError, match=limit):
        runtime.invoke_endpoint(EndpointName="cats", Body=bytes(size))


def test_metrics_service_is_found_by_its_path(operations, serving, make_app, client):
    seen: list[Any] = []

    def put(context: object, request: dict[str, Any]) -> dict[str, Any]:
        seen.append(request)
        return {"Errors": [{"Code": "VALIDATION_ERROR", "MetricIndex": 0}]}

    operations["sagemaker-metrics", "BatchPutMetrics"] = put
    url = serving(make_app())
    datum = {"MetricName": "loss", "Timestamp": WHEN, "Step": 3, "Value": 0.25}
    answer = client("sagemaker-metrics", url).batch_put_metrics(TrialComponentName="t", MetricData=[datum])
    assert answer["Errors"] == [{"Code": "VALIDATION_ERROR", "MetricIndex": 0}]
    assert seen == [{"TrialComponentName": "t", "MetricData": [datum]}]


def test_what_nobody_answers_is_named_and_not_tried_again(operations, serving, make_app, client):
    url = serving(make_app())
    calls = {
        "ListPipelines of sagemaker": lambda: client("sagemaker", url).list_pipelines(),
        "ListUsers of iam": lambda: client("iam", url).list_users(),
        "calls to lambda": lambda: client("lambda", url).list_functions(),
        "calls to ec2": lambda: client("ec2", url).describe_instances(),
        "calls to ecr": lambda: client("ecr", url).describe_registry(),
    }
    for words, attempt in calls.items():
        with pytest.raises(ClientError, match=words) as caught:
            attempt()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_unexpected_failure_is_logged_under_the_id_that_was_answered(operations, serving, make_app, client, caplog):
    def broken(context: object, request: dict[str, Any]) -> None:
        raise KeyError("TrainingJobArn")

    operations["sagemaker", "DescribeTrainingJob"] = broken
    with caplog.at_level(logging.ERROR), pytest.raises(ClientError, match="InternalFailure") as caught:
        client("sagemaker", serving(make_app())).describe_training_job(TrainingJobName="a")
    metadata = caught.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 500
    assert metadata["RequestId"] in caplog.text
    assert "KeyError: 'TrainingJobArn'" in caplog.text
    assert "TrainingJobArn" not in str(caught.value)


@pytest.mark.parametrize("answer", [{"CreationTime": "yesterday"}, {"TrainingJobName": {1}}, {"HyperParameters": 3}, 3])
def test_an_answer_that_cannot_be_written_is_a_failure_of_ours(operations, make_app, caplog, answer):
    operations["sagemaker", "DescribeTrainingJob"] = lambda context, request: answer
    headers = [("x-amz-target", "SageMaker.DescribeTrainingJob")]
    status, body = _ask(make_app(), "POST", "/", "", headers, b'{"TrainingJobName":"a"}')
    assert (status, json.loads(body)["__type"]) == (500, "InternalFailure")
    assert "Traceback" in caplog.text


def test_errors_the_user_can_mend_are_validation_errors(operations, serving, make_app, client):
    def refuse(context: object, request: dict[str, Any]) -> None:
        raise UsageError("the disk is full", where="/data", hint="make room")

    operations["sagemaker", "DescribeTrainingJob"] = refuse
    with pytest.raises(ClientError, match=r"ValidationException.*: /data: the disk is full; make room"):
        client("sagemaker", serving(make_app())).describe_training_job(TrainingJobName="a")


def test_requests_are_checked_against_the_description(operations, serving, make_app, client):
    operations["sagemaker", "DescribeTrainingJob"] = lambda context, request: {}
    url = serving(make_app())
    with pytest.raises(ClientError) as caught:
        client("sagemaker", url).describe_training_job(TrainingJobName="-no-")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "1 validation error detected: Value '-no-' at 'trainingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    }
    target = "SageMaker.DescribeTrainingJob"
    status, _, body = fetch(url, b"{}", X_Amz_Target=target)
    assert (status, json.loads(body)["message"]) == (
        400,
        "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: "
        "Member must not be null",
    )
    status, _, body = fetch(url, b'{"TrainingJobName": 3}', X_Amz_Target=target)
    assert json.loads(body) == {
        "__type": "SerializationException",
        "message": "NUMBER_VALUE can not be converted to a String at 'TrainingJobName'",
    }
    assert fetch(url, b'{"TrainingJobName": "a", "New": 3}', X_Amz_Target=target)[0] == 200


def test_unsigned_calls_are_told_apart(operations, serving, make_app):
    operations["sts", "GetCallerIdentity"] = lambda context, request: {"Account": "0" * 12}
    operations["sagemaker-runtime", "InvokeEndpoint"] = lambda context, request: {"Body": request["Body"]}
    operations["sagemaker", "ListModels"] = lambda context, request: {"Models": [{"ModelName": call().region}]}
    url = serving(make_app())
    assert b"<Account>000000000000</Account>" in fetch(f"{url}/?Action=GetCallerIdentity&Version=2011-06-15")[2]
    assert b"<Account>" in fetch(url, b"Action=GetCallerIdentity&Version=2011-06-15")[2]
    assert fetch(f"{url}/endpoints/cats/invocations", b"meow", Content_Type="x/y")[2] == b"meow"
    assert b"us-east-1" in fetch(url, b"{}", X_Amz_Target="SageMaker.ListModels")[2]
    status, headers, body = fetch(f"{url}/clary/health")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert headers["x-amzn-requestid"]
    assert fetch(f"{url}/clary/health", Host="box.localhost")[1]["x-path"] == "/clary/health"
    status, headers, _ = fetch(f"{url}/bucket/a%20key%2B", b"12345", Content_Type="image/jpeg")
    assert (headers["x-path"], headers["x-length"]) == ("/bucket/a%20key%2B", "5")


def test_signed_s3_requests_go_through_untouched(operations, serving, make_app, client):
    s3 = client("s3", serving(make_app()), signature_version="s3v4")
    answer = s3.put_object(Bucket="endpoints", Key="cats/invocations", Body=b"x" * 3_000_000)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-path"], headers["x-length"]) == ("/endpoints/cats/invocations", "3000000")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[", "http://evil.example:80"])
def test_web_pages_of_other_origins_reach_nothing(operations, serving, make_app, origin):
    operations["sts", "GetCallerIdentity"] = lambda context, request: {}
    url = serving(make_app())
    form = b"Action=GetCallerIdentity&Version=2011-06-15"
    assert fetch(url, form, Origin=origin)[0] == 403
    assert fetch(url, form, Origin=origin, Host="evil.example:80")[0] == 421
    assert fetch(f"{url}/bucket?delete", b"<Delete/>", Origin=origin, Content_Type="text/plain")[0] == 403
    assert fetch(url, form, Origin=url)[0] == 200


# What each service is asked by, as a browser could: path, body, further headers; and what its errors look like.
PROTOCOLS: dict[str, tuple[str, bytes | None, dict[str, str], bytes]] = {
    "query": ("/", b"Action=GetCallerIdentity&Version=2011-06-15", {}, b"<Error><Type>Sender</Type><Code>"),
    "query in a link": ("/?Action=GetCallerIdentity&Version=2011-06-15", None, {}, b"<Error><Type>Sender</Type><Code>"),
    "json": ("/", b"{}", {"X-Amz-Target": "SageMaker.ListModels"}, b'{"__type":"'),
    "runtime": ("/endpoints/cats/invocations", b"x", {}, b'{"__type":"'),
    "s3": ("/bucket/key", None, {}, b"<Error><Code>"),
    "buckets": ("/", None, {}, b"<Error><Code>"),
    "health": ("/clary/health", None, {}, b"<Error><Code>"),
    "front page": ("/", None, {"Accept": "text/html"}, b"<Error><Code>"),
}
FOREIGN = {
    "rebound": (421, {"Host": "evil.example:4747"}),
    "rebound, same origin": (421, {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"}),
    "picture": (403, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
    "another port's": (403, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
    "framed": (403, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}),
}


@pytest.fixture
def everything(operations, serving, make_app):
    operations["sts", "GetCallerIdentity"] = lambda context, request: {"Account": "0" * 12}
    operations["sagemaker", "ListModels"] = lambda context, request: {"Models": []}
    operations["sagemaker-runtime", "InvokeEndpoint"] = lambda context, request: {
        "Body": b"<script>",
        "ContentType": "text/html",
    }
    return serving(make_app(front_page=lambda head: Response(200, [(b"x-content-type-options", b"nosniff")], b"page")))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_service_refuses_foreign_pages_in_its_own_words(everything, protocol):
    path, body, headers, form = PROTOCOLS[protocol]
    for expected, foreign in FOREIGN.values():
        status, _, answer = fetch(everything + path, body, **headers, **foreign)
        assert status == expected, (protocol, foreign)
        assert form in answer
        assert (b"MisdirectedRequest" if status == 421 else b"AccessDenied") in answer
        assert (b"--allowed-host evil.example" in answer) == (status == 421)
    status, found, _ = fetch(everything + path, body, **headers)
    assert status == 200
    assert found["x-content-type-options"] == "nosniff"
    # The front page has a policy of its own, tested there.
    assert found.get("content-security-policy") == (None if protocol == "front page" else "sandbox")


def test_a_link_on_another_site_leads_to_the_front_page_only(everything):
    visit: dict[str, Any] = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    visit["Accept"] = "text/html,*/*"
    assert fetch(f"{everything}/", **visit)[2] == b"page"
    assert fetch(f"{everything}/bucket/key", **visit)[0] == 403
    assert fetch(f"{everything}/?Action=GetCallerIdentity&Version=2011-06-15", **visit)[0] == 403


def test_nothing_changes_by_get(operations, serving, make_app):
    done: list[Any] = []
    operations["cloudwatch", "PutMetricData"] = lambda context, request: done.append(request)
    operations["cloudwatch", "ListMetrics"] = lambda context, request: {}
    operations["sagemaker", "DeleteModel"] = lambda context, request: done.append(request)
    url = serving(make_app())
    put = "Action=PutMetricData&Version=2010-08-01&Namespace=x&MetricData.member.1.MetricName=y"
    status, _, body = fetch(f"{url}/?{put}")
    assert status == 405
    assert b"<Code>MethodNotAllowed</Code>" in body
    assert b"PutMetricData may change something, so it is taken by POST only, not by GET" in body
    body = b'{"ModelName": "a"}'
    request = urllib.request.Request(url, body, {"X-Amz-Target": "SageMaker.DeleteModel"}, method="GET")
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request):
        pass
    caught.value.close()
    assert caught.value.code == 405
    assert not done
    assert fetch(f"{url}/?Action=ListMetrics&Version=2010-08-01")[0] == 200
    assert fetch(url, put.encode())[0] == 200
    assert len(done) == 1


def test_a_name_of_the_users_own(operations, serving, store):
    operations["sts", "GetCallerIdentity"] = lambda context, request: {"Account": "0" * 12}
    names = HostNames("127.0.0.1", allowed=["gpu-box.lan"])
    url = serving(create_app(None, region="us-east-1", account="0" * 12, s3=store, names=names))
    form = b"Action=GetCallerIdentity&Version=2011-06-15"
    assert fetch(url, form, Host="gpu-box.lan:4747")[0] == 200
    assert fetch(f"{url}/b/k", Host="GPU-box.lan.")[0] == 200
    assert fetch(f"{url}/b/k", Host="gpu-box.example")[0] == 421


def test_an_old_client_sends_no_host(serving, make_app):
    place = urlsplit(serving(make_app()))
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(b"GET /bucket/key HTTP/1.0\r\n\r\n")
        assert b" 200 " in connection.makefile("rb").readline()


class TestBound:
    """Requests to a server that asks for signatures."""

    @pytest.fixture
    def url(self, operations, serving, make_app):
        operations["sts", "GetCallerIdentity"] = lambda context, request: {"Account": "0" * 12}
        operations["sagemaker", "ListModels"] = lambda context, request: {"Models": []}
        operations["sagemaker-runtime", "InvokeEndpoint"] = lambda context, request: {"Body": request["Body"]}
        operations["logs", "DescribeLogGroups"] = lambda context, request: {}
        return serving(make_app(credentials={"AKIDEXAMPLE": "right"}))

    def test_signed_calls_of_every_kind_pass(self, url, client):
        def make(service: str, **options: Any) -> Any:
            return client(service, url, secret="right", **options)

        assert make("sts").get_caller_identity()["Account"] == "0" * 12
        assert make("sagemaker").list_models()["Models"] == []
        make("logs").describe_log_groups()
        answer = make("sagemaker-runtime").invoke_endpoint(EndpointName="a-1", Body=b"x y", CustomAttributes="a  b")
        assert answer["Body"].read() == b"x y"
        for version in ("s3v4", "s3"):
            s3 = make("s3", signature_version=version)
            key = "a b/c+d=é&?.jpg"
            assert s3.put_object(Bucket="bucket", Key=key, Body=b"1" * 300_000, Metadata={"a": " b  c "})
            s3.list_objects_v2(Bucket="bucket", Prefix="a b&", Delimiter="/")
            s3.create_multipart_upload(Bucket="bucket", Key=key)
            for operation in ("get_object", "put_object"):
                signed = s3.generate_presigned_url(operation, Params={"Bucket": "bucket", "Key": key})
                method = "GET" if operation == "get_object" else "PUT"
                with urllib.request.urlopen(urllib.request.Request(signed, method=method)) as answer:
                    assert answer.status == 200

    def test_health_needs_no_signature(self, url):
        assert fetch(f"{url}/clary/health")[0] == 200

    def test_wrong_secrets_are_refused(self, url, client):
        expected = {"sts": "SignatureDoesNotMatch", "sagemaker": "InvalidSignatureException"}
        calls = {"sts": "get_caller_identity", "sagemaker": "list_models"}
        for service, code in expected.items():
            with pytest.raises(ClientError, match=code) as caught:
                getattr(client(service, url, secret="wrong"), calls[service])()
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        for version in ("s3v4", "s3"):
            with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
                client("s3", url, secret="wrong", signature_version=version).list_buckets()

    def test_a_refused_client_that_holds_its_body_back_is_let_go(self, url):
        """Asked to continue or not, it will not send this body: the connection cannot be used for another request."""
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
            connection.sendall(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(65536), b""))  # until the server closes
        assert received.startswith(b"HTTP/1.1 403")
        assert b"\r\nconnection: close\r\n" in received.lower()

    def test_unsigned_requests_are_refused(self, url):
        status, _, body = fetch(url, b"{}", X_Amz_Target="SageMaker.ListModels")
        assert (status, json.loads(body)["__type"]) == (403, "MissingAuthenticationTokenException")
        status, _, body = fetch(url, b"Action=GetCallerIdentity&Version=2011-06-15")
        assert status == 403
        assert b"<Code>MissingAuthenticationToken</Code>" in body
        status, _, body = fetch(f"{url}/bucket/key")
        assert status == 403
        assert b"<Code>AccessDenied</Code>" in body

    @pytest.mark.parametrize("size", [5, 2_000_000])
    def test_an_object_that_is_not_the_signed_one_is_not_stored(self, url, client, size):
        s3 = client("s3", url, secret="right", signature_version="s3v4")

        def tamper(request: Any, **_: Any) -> None:
            request.body = b"x" * size

        s3.meta.events.register("before-send.s3.PutObject", tamper)
        with pytest.raises(ClientError, match="XAmzContentSHA256Mismatch"):
            s3.put_object(Bucket="bucket", Key="key", Body=b"y" * size)

    def test_a_call_that_is_not_the_signed_one_is_not_answered(self, url, client):
        sagemaker = client("sagemaker", url, secret="right")

        def tamper(request: Any, **_: Any) -> None:
            request.body = request.body.replace(b"30", b"31")

        sagemaker.meta.events.register("before-send.sagemaker.ListModels", tamper)
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            sagemaker.list_models(MaxResults=30)


def _ask(
    app: Any, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": raw}
    asyncio.run(app({**scope, "query_string": query.encode()}, receive, send))
    return sent[0]["status"], sent[1]["body"]


TARGETS = [
    "SageMaker.CreateTrainingJob",
    "SageMaker.CreateModelPackage",
    "Logs_20140328.PutLogEvents",
    "SageMaker.",
    "",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Tags", "TrainingJobName", "HyperParameters", "logEvents", "InputDataConfig", "a"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(TARGETS),
    st.text(max_size=20),
)
def test_no_json_body_makes_the_server_fail(operations, make_app, body, target, odd):
    for name in ("CreateTrainingJob", "CreateModelPackage"):
        operations["sagemaker", name] = lambda context, request: {}
    operations["logs", "PutLogEvents"] = lambda context, request: {}
    headers = [("x-amz-target", target + (odd if target.endswith(".") else "")), ("authorization", odd)]
    status, answer = _ask(make_app(), "POST", "/", "", headers, body)
    assert status in (200, 400, 403)
    json.loads(answer)


# 480 is read, and too much for who walks it; 2000 cannot be read.
@pytest.mark.parametrize(("depth", "expected"), [(10, 200), (480, 400), (2000, 400)])
def test_a_request_may_be_nested_so_far(operations, make_app, depth, expected):
    def walk(expression: dict[str, Any]) -> int:
        return 1 + sum(walk(one) for one in expression.get("SubExpressions", ()))

    operations["sagemaker", "Search"] = lambda context, request: {
        "TotalHits": {"Value": walk(request["SearchExpression"])}
    }
    inside = '{"SubExpressions":[' * depth + "{}" + "]}" * depth
    body = f'{{"Resource":"TrainingJob","SearchExpression":{inside}}}'.encode()
    status, answer = _ask(make_app(), "POST", "/", "", [("x-amz-target", "SageMaker.Search")], body)
    assert status == expected
    assert status == 200 or b"nested too deeply" in answer


FIELDS = st.sampled_from(
    [
        *("MetricData.member.1.MetricName", "MetricData", "MetricData.member", "MetricData.member.x", "Namespace"),
        *("MetricData.member.1.Values.member.99999999999", "MetricData.member.1.Timestamp", "Namespace.a", "."),
        *("Version", "Action"),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(FIELDS, st.text(max_size=10)), st.binary(max_size=10), st.sampled_from(["POST", "GET"]))
def test_no_form_makes_the_server_fail(operations, make_app, fields, tail, method):
    operations["cloudwatch", "PutMetricData"] = lambda context, request: {}
    form = {"Action": "PutMetricData", "Version": "2010-08-01", **fields}
    text = "&".join(f"{key}={urllib.parse.quote(value)}" for key, value in form.items()).encode()
    headers = [("content-type", "application/x-www-form-urlencoded")]
    status, _ = _ask(make_app(), "POST", "/", "", headers, text + tail)
    assert status in (200, 400)
    if method == "GET":
        assert _ask(make_app(), "GET", "/", text.decode(), [], b"")[0] in (400, 405)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/endpoints/a/invocations", "/endpoints/%ff/invocations", "/BatchPutMetrics", "/service/x", "/%"]),
    st.sampled_from(["POST", "PUT", "GET", "HEAD"]),
    st.text(max_size=12),
    st.binary(max_size=30),
)
def test_no_path_or_header_makes_the_server_fail(operations, make_app, path, method, text, body):
    operations["sagemaker-runtime", "InvokeEndpoint"] = lambda context, request: {"Body": b""}
    operations["sagemaker-metrics", "BatchPutMetrics"] = lambda context, request: {}
    names = ["x-amzn-sagemaker-inference-id", "content-type", "content-encoding", "x-amz-date", "x-amz-content-sha256"]
    headers = [(name, text) for name in names]
    for credentials in (None, {"k": "s"}):
        scope = "k/20240506/us-east-1/sagemaker/aws4_request"
        sign = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;{text}, Signature={text}"
        for signed in ([], [("authorization", sign)], [("authorization", text)]):
            status, _ = _ask(make_app(credentials=credentials), method, path, text, [*headers, *signed], body)
            assert status in (200, 400, 403)


@pytest.mark.parametrize("credentials", [None, {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}])
def test_a_browser_gets_the_front_page_and_s3_clients_their_buckets(serving, make_app, client, credentials):
    def front_page(head: Head) -> Response:
        return Response(200, [(b"content-type", b"text/html")], head.headers["host"].encode())

    url = serving(make_app(credentials=credentials, front_page=front_page))
    assert fetch(url + "/", Accept="text/html,*/*;q=0.8")[::2] == (200, urlsplit(url).netloc.encode())
    response = client("s3", url).list_buckets()["ResponseMetadata"]
    assert response["HTTPHeaders"]["x-path"] == "/"  # the stub of S3 answered
    status, headers, _ = fetch(url + "/", Accept="*/*")
    assert (status, headers.get("x-path")) == ((200, "/") if credentials is None else (403, None))
    assert fetch(url + "/", Accept="text/html", Origin="http://evil.example")[0] == (
        403 if credentials is None else 200
    )


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_body_over_the_limit_is_refused_unread(serving, make_app, expect):
    place = urlsplit(serving(make_app()))
    head = b"POST /endpoints/a/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % (BODY_LIMIT + 1)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
        connection.sendall(head + expect + b"\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"100 Continue" not in answer


def test_who_comes_too_early_is_told_when_to_come_again(operations, serving, make_app, client):
    def busy(context: object, request: dict[str, Any]) -> None:
        raise ServiceError("ServiceUnavailable", "too many", status=503, retry_after=7)

    operations["sagemaker-runtime", "InvokeEndpoint"] = busy
    runtime = client("sagemaker-runtime", serving(make_app()))
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            runtime.invoke_endpoint(EndpointName="a", Body=b"x")
        answer = caught.value.response
        assert answer["Error"]["Code"] == "ServiceUnavailable"
        assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


def play(app: Any, *calls: tuple[bytes, bool, bool]) -> list[tuple[int, dict[bytes, bytes]]]:
    """Status and headers that calls of InvokeEndpoint get, begun one after the other: their bodies, whether these come
    to an end, and whether the client goes away once it has sent them. A status of 0: nothing was answered."""
    answers: list[tuple[int, dict[bytes, bytes]]] = [(0, {}) for _ in calls]

    async def one(place: int, body: bytes, whole: bool, leaves: bool, asked: asyncio.Event) -> None:
        messages = [{"type": "http.request", "body": body, "more_body": not whole}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            asked.set()
            await (asyncio.sleep(0) if leaves else asyncio.Event().wait())
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers[place] = message["status"], dict(message["headers"])
                asked.set()

        path = "/endpoints/a/invocations"
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        await app({**scope, "headers": [(b"host", b"localhost")]}, receive, send)

    async def main() -> None:
        async with asyncio.timeout(10):
            tasks = []
            for place, arguments in enumerate(calls):
                asked = asyncio.Event()
                tasks.append(asyncio.create_task(one(place, *arguments, asked)))
                await asked.wait()
            await asyncio.wait({tasks[-1]})
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(main())
    return answers


def test_work_for_a_client_who_has_gone_is_stopped(operations, make_app, caplog):
    ends: list[str] = []

    async def wait(context: object, request: dict[str, Any]) -> None:
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ends.append("stopped")

        await call().unless_gone(work())

    operations["sagemaker-runtime", "InvokeEndpoint"] = wait
    assert play(make_app(), (b"x", True, True)) == [(0, {})]
    assert ends == ["stopped"]
    assert caplog.text == ""


def test_bodies_that_fill_memory(operations, make_app, monkeypatch):
    monkeypatch.setattr(app_module, "BODIES", 1000)
    operations["sagemaker-runtime", "InvokeEndpoint"] = lambda context, request: {"Body": b"answer"}
    (_, (status, headers)) = play(make_app(), (bytes(999), False, False), (b"xx", True, False))
    assert (status, headers[b"retry-after"]) == (503, b"1")
    ((status, _),) = play(make_app(), (bytes(2000), True, False))
    assert status == 200


def test_a_body_that_does_not_come(operations, make_app, monkeypatch):
    monkeypatch.setattr(app_module, "ARRIVAL_LIMIT", 0.01)
    ((status, _),) = play(make_app(), (b"x", False, False))
    assert status == 408
