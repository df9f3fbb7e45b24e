"""botocore's own serializers and parsers at the other end: what goes in comes out, for every operation."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.wire.asgi import Head
from clary.control.wire.errors import ServiceError
from clary.control.wire.routing import WireProtocol, speaking
from clary.control.wire.services import describe

SPOKEN = [
    ("sagemaker", "json"),
    ("logs", "json"),
    ("cloudwatch", "json"),
    ("cloudwatch", "query"),
    ("sts", "query"),
    ("iam", "query"),
    ("sagemaker-runtime", "rest-json"),
    ("sagemaker-metrics", "rest-json"),
    ("sagemaker-featurestore-runtime", "rest-json"),
]
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=6)
WORDS = st.text(st.characters(min_codepoint=48, max_codepoint=122, categories=["L", "N"]), min_size=1, max_size=6)
# to the millisecond, as ISO times are written; to the second in headers
TIMES = st.integers(0, 2**31 * 1000).map(
    lambda ms: datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
)


@cache
def model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service_name=service)


def values(shape: Any, depth: int = 0, *, plain: bool = False) -> st.SearchStrategy[Any]:
    """Values of a shape; ``plain`` ones can stand in a header."""
    match shape.type_name:
        case "structure":
            deepest = 6 if shape.is_tagged_union else 4  # of a union exactly one member is set, so there must be one
            members = {name: m for name, m in shape.members.items() if depth < deepest or not hasattr(m, "members")}
            members = {name: m for name, m in members.items() if not m.serialization.get("eventstream")}
            chosen = {
                name: values(m, depth + 1, plain=bool(m.serialization.get("location"))) for name, m in members.items()
            }
            required = [name for name in shape.required_members if name in chosen and (depth == 0)]
            most = 1 if shape.is_tagged_union else 4
            optional = st.sets(st.sampled_from(sorted(chosen)), min_size=1, max_size=most) if chosen else st.just(set())
            return optional.flatmap(
                lambda names: st.fixed_dictionaries({name: chosen[name] for name in {*names, *required}})
            )
        case "list":
            # an empty list cannot be told from none in a query string
            inner = values(shape.member, depth + 1, plain=plain)
            return st.lists(inner, min_size=int(plain), max_size=2 if depth < 4 else 0)
        case "map":
            return st.dictionaries(WORDS, values(shape.value, depth + 1), min_size=1, max_size=2)
        case "timestamp":
            return TIMES.map(lambda moment: moment.replace(microsecond=0)) if plain else TIMES
        case "integer":
            return st.integers(-(2**31), 2**31 - 1)
        case "long":
            return st.integers(-(2**63), 2**63 - 1)
        case "float" | "double":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(max_size=6)
    return WORDS if plain else TEXT


def operations(service: str, side: str) -> list[str]:
    found = model(service)
    shapes = {name: getattr(found.operation_model(name), f"{side}_shape") for name in found.operation_names}
    streams = {name for name in shapes if found.operation_model(name).has_event_stream_output}
    return [name for name, shape in shapes.items() if shape is not None and shape.members and name not in streams]


def without_empty(value: Any) -> Any:
    """Structures with nothing in them cannot be told from absent ones in a form."""
    if isinstance(value, dict):
        cleaned = {key: without_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in cleaned.items() if inner != {}}
    if isinstance(value, list):
        return [inner for inner in map(without_empty, value) if inner != {}]
    return value


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_are_read_by_botocore(service, protocol, data):
    name = data.draw(st.sampled_from(operations(service, "output")))
    shape = model(service).operation_model(name).output_shape
    answer = data.draw(values(shape))
    if protocol == "query":
        answer = without_empty(answer)
    outgoing = speaking(service, protocol).write(describe(service).operations[name], {**answer, "_more": {1}}, "id")
    headers = HeadersDict({key.decode(): value.decode("latin-1") for key, value in outgoing.headers})
    body: Any = outgoing.body
    payload = shape.serialization.get("payload")
    parsed = (
        create_parser(protocol).parse({"status_code": 200, "headers": headers, "body": body}, shape)
        if not (payload and shape.members[payload].type_name == "blob")
        else {**answer, payload: body}
    )
    parsed.pop("ResponseMetadata", None)
    assert parsed == answer | ({payload: answer.get(payload, b"")} if payload else {})


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_requests_of_botocore_are_read(service, protocol, data):
    name = data.draw(st.sampled_from(operations(service, "input")))
    wanted = model(service).operation_model(name)
    request = data.draw(values(wanted.input_shape))
    if protocol == "query":
        request = without_empty(request)
    sent = create_serializer(protocol, include_validation=False).serialize_to_request(request, wanted)
    url = "http://127.0.0.1" + sent["url_path"]
    prepared = AWSRequest(sent["method"], url, sent["headers"], sent["body"], sent["query_string"]).prepare()
    path, _, query = prepared.url.removeprefix("http://127.0.0.1").partition("?")
    headers = {key.lower(): value for key, value in prepared.headers.items()}
    body = prepared.body or b""
    operation = describe(service).operations[name]
    labels = operation.labels(sent["method"], path) if protocol == "rest-json" else {}
    head = Head(sent["method"], path, query, headers)
    found = speaking(service, protocol).read(
        operation, head, body.encode() if isinstance(body, str) else body, labels or {}
    )
    payload = wanted.input_shape.serialization.get("payload")
    assert found == request | ({payload: request.get(payload, b"")} if payload else {})


def _read(protocol: WireProtocol, service: str, name: str, body: bytes) -> dict[str, Any]:
    return protocol.read(describe(service).operations[name], Head("POST", "/", "", {}), body, {})


class TestJson:
    def read(self, body: bytes, name: str = "CreateTrainingJob") -> dict[str, Any]:
        return _read(speaking("sagemaker", "json"), "sagemaker", name, body)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b'{"TrainingJobName": ["a"]}', "Start of list can not be converted to a String at 'TrainingJobName'"),
            (b'{"EnableNetworkIsolation": "true"}', "STRING_VALUE can not be converted to a Boolean at"),
            (b'{"ResourceConfig": {"InstanceCount": "1"}}', "to an Integer at 'ResourceConfig.InstanceCount'"),
            (b'{"ResourceConfig": {"InstanceCount": 1.5}}', "DECIMAL_VALUE can not be converted to an Integer"),
            (b'{"ResourceConfig": {"InstanceCount": true}}', "TRUE_VALUE can not be converted to an Integer"),
            (b'{"ResourceConfig": {"InstanceCount": 2147483648}}', "NUMBER_VALUE can not be converted to an Integer"),
            (b'{"ResourceConfig": []}', "Start of list found where a structure was expected at 'ResourceConfig'"),
            (b'{"InputDataConfig": {}}', "structure or map found where a list was expected at 'InputDataConfig'"),
            (b'{"InputDataConfig": [{}, {"ChannelName": 1}]}', "at 'InputDataConfig.2.member.ChannelName'"),
            (b'{"HyperParameters": {"a": 1}}', "NUMBER_VALUE can not be converted to a String at 'HyperParameters.a'"),
            (b'{"HyperParameters": "a"}', "STRING_VALUE found where a map was expected at 'HyperParameters'"),
            (b"[]", "Start of list found where a structure was expected"),
            (b"null", "NULL_VALUE found"),
            (b"{", "the body is no valid JSON"),
            (b"\xff", "the body is no valid JSON"),
            (b'{"a": NaN}', "NaN is no JSON number"),
            (b'{"TrainingJobName": "\\ud800"}', "the body is no valid JSON"),
            (b"[" * 100_000, "nested too deeply"),
            (b"1" * 5_000, "the body is no valid JSON"),
        ],
    )
    def test_wrong_types(self, body, message):
        with pytest.raises(ServiceError) as caught:
            self.read(body)
        assert caught.value.code == "SerializationException"
        assert message in caught.value.message

    def test_lenient_where_aws_is(self):
        assert self.read(b"") == {}
        assert self.read(b'{"New": 1, "TrainingJobName": null, "HyperParameters": {"a": null}}') == {
            "HyperParameters": {}
        }
        assert self.read(b'{"ResourceConfig": {"InstanceCount": 2.0}}') == {"ResourceConfig": {"InstanceCount": 2}}
        assert self.read(b'{"TrainingJobName": "\\ud83d\\udc31"}') == {"TrainingJobName": "🐱"}

    @pytest.mark.parametrize("time", ["1714979289.12", '"2024-05-06T07:08:09.12Z"', '"1714979289.12"'])
    def test_times(self, time):
        found = self.read(b'{"CreationTimeAfter": %s}' % time.encode(), "ListModels")
        assert found == {"CreationTimeAfter": datetime(2024, 5, 6, 7, 8, 9, 120_000, tzinfo=UTC)}

    @pytest.mark.parametrize("time", ["1e300", '"never"', "true", "{}"])
    def test_no_times(self, time):
        with pytest.raises(ServiceError, match="CreationTimeAfter"):
            self.read(b'{"CreationTimeAfter": %s}' % time.encode(), "ListModels")

    def test_numbers_that_are_not_finite_are_words(self):
        points = [{"MetricName": "loss", "Value": float("nan")}, {"MetricName": "x", "Value": float("-inf")}]
        operation = describe("sagemaker").operations["DescribeTrainingJob"]
        body = speaking("sagemaker", "json").write(operation, {"FinalMetricDataList": points}, "id").body
        assert body == (
            b'{"FinalMetricDataList":[{"MetricName":"loss","Value":"NaN"},{"MetricName":"x","Value":"-Infinity"}]}'
        )


class TestQuery:
    def read(self, body: bytes, service: str = "cloudwatch", name: str = "PutMetricData") -> dict[str, Any]:
        return _read(speaking(service, "query"), service, name, body)

    def test_lists_are_in_the_order_of_their_numbers(self):
        body = b"ActionNames.member.10=c&ActionNames.member.2=b&ActionNames.member.1=a&PolicySourceArn=x"
        found = self.read(body, "iam", "SimulatePrincipalPolicy")
        assert found == {"PolicySourceArn": "x", "ActionNames": ["a", "b", "c"]}

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"MetricData.member.1.Value=x", "MalformedInput"),
            (b"MetricData.member.1.Value=nan", "MalformedInput"),
            (b"MetricData.member.1.Timestamp=never", "MalformedInput"),
            (b"MetricData.member.1.StorageResolution=1_0", "MalformedInput"),
            (b"MetricData.member.1.StorageResolution=" + b"9" * 5000, "MalformedInput"),
            (b"Namespace.a=x", "MalformedInput"),
            (b"Namespace=%ff", "MalformedQueryString"),
            (b"Namespace=\xff", "MalformedQueryString"),
            (b"&".join(b"a%d=1" % n for n in range(10_001)), "MalformedQueryString"),
        ],
    )
    def test_what_cannot_be_read(self, body, code):
        with pytest.raises(ServiceError) as caught:
            self.read(body)
        assert caught.value.code == code

    def test_what_xml_cannot_hold_is_replaced(self):
        operation = describe("sts").operations["GetCallerIdentity"]
        outgoing = speaking("sts", "query").write(operation, {"UserId": "a\0b\ud800\r<&>"}, "id")
        parsed = create_parser("query").parse(
            {"status_code": 200, "headers": {}, "body": outgoing.body},
            model("sts").operation_model("GetCallerIdentity").output_shape,
        )
        assert parsed["UserId"] == "a\ufffdb\ufffd\r<&>"


def test_blobs_are_base64():
    operation = describe("cloudwatch").operations["GetMetricWidgetImage"]
    for protocol in ("json", "query"):
        body = speaking("cloudwatch", protocol).write(operation, {"MetricWidgetImage": b"\x89PNG"}, "id").body
        assert base64.b64encode(b"\x89PNG") in body
