"""Local mode of the SDKs, connected: what their sessions and trainers become, with classes built as theirs are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import boto3
import pytest

from clary.client.patches import local_mode


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLARY_ENDPOINT", "http://127.0.0.1:4747")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4747")
    monkeypatch.chdir(tmp_path)


class Session:
    """What SDK v2's has: a property, and logs that ask the service."""

    _config: Any = None
    boto_session: Any = None
    sagemaker_client: Any = None
    sagemaker_runtime_client: Any = None

    @property
    def config(self) -> Any:
        return self._config

    @config.setter
    def config(self, value: Any) -> None:
        self._config = value

    def logs_for_job(self, job_name: str) -> str:
        return f"the service's logs of {job_name}"


def local_session(base: type) -> Any:
    class LocalSession(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._initialize(boto3.Session(region_name="us-east-1"))

        def _initialize(self, boto_session: Any) -> None:
            self.boto_session = boto_session
            self.sagemaker_client = self.sagemaker_runtime_client = SimpleNamespace()
            self.config = {"local": {"local_code": True, "container_root": "/c"}}

        def logs_for_job(self, job_name: str) -> None:
            """Nothing: the container prints."""

    local_mode.connect_session(SimpleNamespace(LocalSession=LocalSession))
    return LocalSession


class OldSession:
    """What SDK v1's has: a plain attribute."""

    logs_for_job = Session.logs_for_job


@pytest.mark.parametrize("base", [Session, OldSession])
def test_a_local_session_asks_the_service(base):
    session = local_session(base)()
    assert session.sagemaker_client.meta.endpoint_url == "http://127.0.0.1:4747"
    assert session.sagemaker_runtime_client.meta.service_model.service_name == "sagemaker-runtime"
    assert session.logs_for_job("a") == "the service's logs of a"
    assert session.config == {"local": {"local_code": True, "container_root": "/c"}}


@pytest.mark.parametrize("base", [Session, OldSession])
def test_one_that_is_not_connected_starts_its_container(base, monkeypatch):
    session_class = local_session(base)
    monkeypatch.delenv("CLARY_ENDPOINT")
    session = session_class()
    assert isinstance(session.sagemaker_client, SimpleNamespace)
    assert session.config["local"]["local_code"] is True


def test_pipelines_are_left_to_the_sdk():
    class LocalPipelineSession(local_session(Session)):  # type: ignore[misc]
        pass

    assert isinstance(LocalPipelineSession().sagemaker_client, SimpleNamespace)


def trainer_module() -> Any:
    """ModelTrainer of SDK v3, as far as it is changed."""
    made = SimpleNamespace(Mode=SimpleNamespace(LOCAL_CONTAINER="local", SAGEMAKER_TRAINING_JOB="job"))
    made.configs = SimpleNamespace(OutputDataConfig=lambda **words: words)
    made.S3DataSource = made.Compute = SimpleNamespace

    class ModelTrainer:
        def __init__(self, mode: str, compute: Any) -> None:
            self.training_mode, self.compute, self.local_container_root = mode, compute, "root"
            self.output_data_config: Any = "the bucket"
            self.model_post_init(None)

        def model_post_init(self, context: Any) -> None:
            self.checked = self.training_mode

        def create_input_data_channel(self, channel_name: str, data_source: Any, key_prefix: str = "") -> Any:
            return data_source

    made.ModelTrainer = ModelTrainer
    local_mode.connect_trainer(made)
    return made


@pytest.mark.parametrize(("asked", "becomes"), [(None, "local"), ("local_cpu", "local"), ("local_gpu", "local_gpu")])
def test_a_local_trainer_makes_a_job_of_local_mode(asked, becomes, tmp_path):
    module = trainer_module()
    trainer = module.ModelTrainer("local", asked and SimpleNamespace(instance_type=asked))
    assert trainer.checked == trainer.training_mode == "job"
    assert trainer.compute.instance_type == becomes
    assert trainer.output_data_config == {"s3_output_path": f"file://{tmp_path}/root/compressed_artifacts"}
    (tmp_path / "data").mkdir()
    assert trainer.create_input_data_channel("train", "data").s3_uri == f"file://{tmp_path}/data"
    assert trainer.create_input_data_channel("train", "s3://bucket/data") == "s3://bucket/data"
    assert trainer.create_input_data_channel("sm_drivers", "data", key_prefix="p") == "data"


def test_another_trainer_is_left_alone(tmp_path):
    trainer = trainer_module().ModelTrainer("job", SimpleNamespace(instance_type="ml.m5.large"))
    assert (trainer.compute.instance_type, trainer.output_data_config) == ("ml.m5.large", "the bucket")
    assert trainer.create_input_data_channel("train", str(tmp_path)) == str(tmp_path)


@pytest.fixture
def builder_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """ModelBuilder of SDK v3, as far as it is changed, and the modules of its translators."""
    made = SimpleNamespace(Mode=SimpleNamespace(LOCAL_CONTAINER="container", SAGEMAKER_ENDPOINT="endpoint"))

    class Answer:
        def __init__(self, body: Any, content_type: str) -> None:
            self.body, self.content_type = body, content_type

    class Endpoint:
        def invoke(self, **words: Any) -> Answer:
            self.asked = words
            return Answer(b"[1, 2]", words["accept"])

    class ModelBuilder:
        instance_type = "ml.m5.large"

        def __init__(self, mode: str) -> None:
            self.mode = mode

        def build(self, model_name: Any = None, mode: Any = None, role_arn: Any = None) -> Any:
            self.mode = mode or self.mode
            self.built = (model_name, role_arn)

        def deploy(self, endpoint_name: str = "", wait: bool = True, **words: Any) -> Any:
            return Endpoint()

        def deploy_local(self, endpoint_name: str = "endpoint", container_timeout_in_seconds: int = 300) -> Any:
            return "a container"

    made.ModelBuilder = ModelBuilder
    serializer = SimpleNamespace(CONTENT_TYPE="application/json", serialize=json.dumps)
    deserializer = SimpleNamespace(ACCEPT=("application/json",), deserialize=lambda body, kind: json.loads(body))
    modules = {
        "sagemaker.core.serializers": SimpleNamespace(JSONSerializer=lambda: serializer),
        "sagemaker.core.deserializers": SimpleNamespace(JSONDeserializer=lambda: deserializer),
    }
    for name in ("sagemaker", "sagemaker.core", *modules):
        monkeypatch.setitem(sys.modules, name, cast("ModuleType", modules.get(name, SimpleNamespace())))
    local_mode.connect_builder(made)
    return made


@pytest.mark.parametrize("asked", ["when made", "by position", "by name"])
def test_a_local_builder_makes_an_endpoint_of_local_mode(builder_module, asked):
    builder = builder_module.ModelBuilder("container" if asked == "when made" else "endpoint")
    builder.build("m", *["container"] * (asked == "by position"), **{"mode": "container"} if asked == "by name" else {})
    assert (builder.mode, builder.instance_type, builder.built) == ("endpoint", "local", ("m", None))
    endpoint = builder.deploy_local(endpoint_name="e", container_timeout_in_seconds=9)
    assert endpoint.invoke(b"jpeg", content_type="image/jpeg").body == [1, 2]
    assert endpoint.asked == {"body": b"jpeg", "content_type": "image/jpeg", "accept": "application/json"}
    endpoint.invoke([3], accept="text/csv")
    assert endpoint.asked == {"body": "[3]", "content_type": "application/json", "accept": "text/csv"}


def test_another_builder_is_left_alone(builder_module, monkeypatch):
    builder = builder_module.ModelBuilder("endpoint")
    builder.build(role_arn="r")
    assert (builder.mode, builder.instance_type, builder.built) == ("endpoint", "ml.m5.large", (None, "r"))
    assert type(builder.deploy()).__name__ == "Endpoint"
    builder = builder_module.ModelBuilder("in this process")
    builder.build(mode="in this process")
    assert (builder.mode, builder.instance_type) == ("in this process", "ml.m5.large")
    assert builder.deploy_local() == "a container"
    monkeypatch.delenv("CLARY_ENDPOINT")
    builder = builder_module.ModelBuilder("container")
    builder.build()
    assert builder.mode == "container"
    assert builder.deploy_local() == "a container"


def named(operation: str, **members: Any) -> Any:
    """What a client of a connected session sends."""
    sent: list[Any] = []
    session = boto3.Session(aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    local_mode.name_files(session._session)
    client = session.client("sagemaker")
    client.meta.events.register("provide-client-params", lambda params, **_: sent.append(params))
    client.meta.events.register("before-parameter-build", lambda params, **_: sent.append(params))
    client.meta.events.register("before-call", lambda **_: (SimpleNamespace(status_code=200), {}))
    getattr(client, operation)(**members)
    return sent[-1]


def test_files_are_named_as_the_service_reads_them(tmp_path):
    files = {"FileDataSource": {"FileUri": "file://data/train", "FileDataDistributionType": "FullyReplicated"}}
    source = {"S3DataType": "S3Prefix", "S3Uri": "file://./data/../val"}
    sent = named(
        "create_training_job",
        TrainingJobName="job",
        AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::000000000000:role/any",
        InputDataConfig=[
            {"ChannelName": "train", "DataSource": files},
            {"ChannelName": "val", "DataSource": {"S3DataSource": source}},
            {"ChannelName": "far", "DataSource": {"S3DataSource": {**source, "S3Uri": "s3://bucket/x"}}},
        ],
        OutputDataConfig={"S3OutputPath": "file:///out"},
        ResourceConfig={"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"sagemaker_submit_directory": '"file://code"', "sagemaker_program": '"file://train.py"'},
    )
    uris = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in sent["InputDataConfig"]]
    assert uris == [f"file://{tmp_path}/data/train", f"file://{tmp_path}/val", "s3://bucket/x"]
    assert sent["OutputDataConfig"] == {"S3OutputPath": "file:///out"}
    words = {"sagemaker_submit_directory": f'"file://{tmp_path}/code"', "sagemaker_program": '"file://train.py"'}
    assert sent["HyperParameters"] == words


@pytest.mark.parametrize(
    ("source", "becomes"), [("file://", "file://{}"), ("file:///code", "file:///code"), ("s3://b/c", "s3://b/c")]
)
def test_a_script_beside_the_program_and_a_model_that_has_no_place(source, becomes, tmp_path):
    """As SDK v1 and v2 send it with local_code, entry_point="train.py" and no output_path."""
    sent = named(
        "create_training_job",
        TrainingJobName="job",
        AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::000000000000:role/any",
        OutputDataConfig={"S3OutputPath": ""},
        DebugHookConfig={"S3OutputPath": "", "CollectionConfigurations": []},
        ResourceConfig={"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"sagemaker_submit_directory": json.dumps(source)},
    )
    assert json.loads(sent["HyperParameters"]["sagemaker_submit_directory"]) == becomes.format(tmp_path)
    made = sent["OutputDataConfig"]["S3OutputPath"]
    assert sent["DebugHookConfig"] == {"S3OutputPath": made, "CollectionConfigurations": []}
    assert made.startswith("file:///")
    Path(made[7:]).rmdir()


def test_model_data_is_named_too(tmp_path):
    container = {"Image": "image", "ModelDataUrl": "file://out/model.tar.gz"}
    sent = named("create_model", ModelName="m", PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::0:role/any")
    assert sent["PrimaryContainer"]["ModelDataUrl"] == f"file://{tmp_path}/out/model.tar.gz"


def test_a_processing_job_has_its_files_named_and_a_role(tmp_path):
    """SDK v3 keeps ``file://`` of an output in local mode, and sends no role; arguments are the program's own words."""
    output = {"S3Uri": "file://out", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    members = {
        "ProcessingJobName": "job",
        "AppSpecification": {"ImageUri": "image", "ContainerArguments": ["file://data"]},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": output}]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 1}},
    }
    sent = named("create_processing_job", **members)
    assert sent["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] == f"file://{tmp_path}/out"
    assert sent["AppSpecification"]["ContainerArguments"] == ["file://data"]
    assert sent["RoleArn"].startswith("arn:aws:iam::")
    own = "arn:aws:iam::000000000000:role/mine"
    assert named("create_processing_job", **members, RoleArn=own)["RoleArn"] == own
