"""Local mode of the SDKs, sent to the gateway: the same job as with any other instance type, and no container.

On AWS ``LocalSession`` stands in the place of SageMaker and starts Docker. Connected, its two clients are boto3's own.
It goes on to be a LocalSession: with it SDK v1 and v2 take ``file://`` URIs, which the gateway reads where they lie,
those of scripts (``local_code``) among them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FILES = "file://"
_READ_TIMEOUT = 80  # seconds, as the SDKs' own Session waits for an endpoint
_JSON = "application/json"
_INSTANCE_TYPES = ("local", "local_gpu")
_WORDS = ("HyperParameters", "Environment", "ContainerEntrypoint", "ContainerArguments")
_SOURCE = "sagemaker_submit_directory"  # a hyperparameter, JSON as all of them are: where the script lies
_OPERATIONS = ("CreateTrainingJob", "CreateModel")
_ROLE = "arn:aws:iam::000000000000:role/local"


def connect_session(module: Any) -> None:
    """The LocalSession of SDK v1, v2 or v3."""
    session = module.LocalSession
    initialize = session._initialize

    def connected(self: Any, *args: Any, **kwargs: Any) -> None:
        initialize(self, *args, **kwargs)
        # A pipeline's runs its steps in this process, one after the other, by calls that only the SDK's client takes.
        is_pipeline = any(base.__name__ == "LocalPipelineSession" for base in type(self).__mro__)
        if os.environ.get("CLARY_ENDPOINT") and not is_pipeline:
            from botocore.config import Config

            self.sagemaker_client = self.boto_session.client("sagemaker")
            runtime = Config(read_timeout=_READ_TIMEOUT)
            self.sagemaker_runtime_client = self.boto_session.client("runtime.sagemaker", config=runtime)

    session._initialize = connected
    # A container prints by itself, so LocalSession's print nothing; Session's ask the service.
    for name in ("logs_for_job", "logs_for_processing_job"):
        if name in vars(session):
            delattr(session, name)


def connect_trainer(module: Any) -> None:
    """ModelTrainer of SDK v3 with ``training_mode=Mode.LOCAL_CONTAINER``."""
    trainer, mode = module.ModelTrainer, module.Mode
    initialize, channel = trainer.model_post_init, trainer.create_input_data_channel

    def connected(self: Any, *args: Any) -> None:
        if os.environ.get("CLARY_ENDPOINT") and self.training_mode == mode.LOCAL_CONTAINER:
            _make_job(self, module)
        initialize(self, *args)

    def in_place(self: Any, channel_name: str, data_source: Any, *args: Any, **kwargs: Any) -> Any:
        own = channel_name in ("code", "sm_drivers")  # temporary, gone before the job has begun to read them
        if _is_local(self) and not own and isinstance(data_source, str) and os.path.exists(data_source):
            uri = _FILES + os.path.abspath(data_source)
            data_source = module.S3DataSource(
                s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated"
            )
        return channel(self, channel_name, data_source, *args, **kwargs)

    trainer.model_post_init = connected
    trainer.create_input_data_channel = in_place


def _make_job(trainer: Any, module: Any) -> None:
    """Where a container would have left its model, the job puts its own."""
    place = os.path.join(os.path.abspath(trainer.local_container_root or "."), "compressed_artifacts")
    trainer.training_mode = module.Mode.SAGEMAKER_TRAINING_JOB
    trainer.output_data_config = module.configs.OutputDataConfig(s3_output_path=_FILES + place)
    asked = getattr(trainer.compute, "instance_type", None)
    if trainer.compute is None:
        trainer.compute = module.Compute(instance_type="local", instance_count=1)
    elif asked not in _INSTANCE_TYPES:  # "local_cpu", say
        trainer.compute.instance_type = "local"


def _is_local(trainer: Any) -> bool:
    return getattr(trainer.compute, "instance_type", None) in _INSTANCE_TYPES


def connect_builder(module: Any) -> None:
    """ModelBuilder of SDK v3 with ``mode=Mode.LOCAL_CONTAINER``."""
    builder, mode = module.ModelBuilder, module.Mode
    build, deploy, deploy_local = builder.build, builder.deploy, builder.deploy_local

    def built(self: Any, model_name: Any = None, mode_asked: Any = None, *args: Any, **kwargs: Any) -> Any:
        asked = kwargs.pop("mode", None) or mode_asked or self.mode
        if os.environ.get("CLARY_ENDPOINT") and asked == mode.LOCAL_CONTAINER:
            asked, self.mode = mode.SAGEMAKER_ENDPOINT, mode.SAGEMAKER_ENDPOINT
            self.instance_type = "local_gpu" if self.instance_type == "local_gpu" else "local"
            self.built_for_local_mode = True
        return build(self, model_name, asked, *args, **kwargs)

    def deployed(self: Any, *args: Any, **kwargs: Any) -> Any:
        endpoint = deploy(self, *args, **kwargs)
        return _LocalEndpoint(endpoint, self) if getattr(self, "built_for_local_mode", False) else endpoint

    def deployed_locally(self: Any, endpoint_name: str = "endpoint", *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "built_for_local_mode", False):
            return self.deploy(endpoint_name, **kwargs)
        return deploy_local(self, endpoint_name, *args, **kwargs)

    builder.build, builder.deploy, builder.deploy_local = built, deployed, deployed_locally


class _LocalEndpoint:
    """An endpoint of the service, asked as SDK v3's LocalEndpoint is: the builder's translators stand between."""

    def __init__(self, endpoint: Any, builder: Any) -> None:
        from sagemaker.core.deserializers import JSONDeserializer
        from sagemaker.core.serializers import JSONSerializer

        self._endpoint = endpoint
        self._serializer = getattr(builder, "_serializer", None) or JSONSerializer()
        self._deserializer = getattr(builder, "_deserializer", None) or JSONDeserializer()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)

    def invoke(self, body: Any, content_type: str = _JSON, accept: str = _JSON, **kwargs: Any) -> Any:
        own = self._deserializer.ACCEPT
        sent = {
            "body": body if isinstance(body, (str, bytes, bytearray)) else self._serializer.serialize(body),
            "content_type": content_type if content_type != _JSON else self._serializer.CONTENT_TYPE,
            "accept": accept if accept != _JSON else own if isinstance(own, str) else own[0],
        }
        answer = self._endpoint.invoke(**sent, **kwargs)
        found = self._deserializer.deserialize(answer.body, answer.content_type)
        return type(answer)(body=found, content_type=answer.content_type)


def name_files(session: Any) -> None:
    """Let the clients of a botocore session name files as the service reads them: absolute, and as an S3DataSource."""
    for operation in _OPERATIONS:
        session.register("provide-client-params.sagemaker." + operation, _with_named_files)
    session.register("provide-client-params.sagemaker.CreateProcessingJob", _with_role_and_named_files)


def _with_named_files(params: Any, **_: Any) -> Any:
    if not os.environ.get("CLARY_ENDPOINT"):
        return None
    named = _named(params)
    source = (named.get("HyperParameters") or {}).get(_SOURCE, "").strip('"')
    if source.startswith(_FILES):
        named["HyperParameters"] = {**named["HyperParameters"], _SOURCE: '"' + _absolute(source) + '"'}
    # With local_code and no output_path SDK v1 and v2 leave it to the container where the model goes.
    # What they derive from it, for the debugger say, is empty as well.
    nowhere = [name for name, one in named.items() if isinstance(one, dict) and one.get("S3OutputPath") == ""]
    if nowhere:
        from tempfile import mkdtemp

        place = _FILES + mkdtemp()
        named.update({name: {**named[name], "S3OutputPath": place} for name in nowhere})
    return named


def _with_role_and_named_files(params: Any, **_: Any) -> Any:
    """SDK v3 gives a processing job of local mode no role, which the service asks for."""
    return _named({"RoleArn": _ROLE, **params}) if os.environ.get("CLARY_ENDPOINT") else None


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        if "FileDataSource" in value:
            source = value["FileDataSource"]
            kind = source.get("FileDataDistributionType") or "FullyReplicated"
            found = {"S3DataType": "S3Prefix", "S3Uri": _absolute(source["FileUri"]), "S3DataDistributionType": kind}
            return {"S3DataSource": found}
        # Hyperparameters and variables are the program's own words.
        return {name: one if name in _WORDS else _named(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_named(one) for one in value]
    return _absolute(value) if isinstance(value, str) and value.startswith(_FILES) else value


def _absolute(uri: str) -> str:
    """``file://data`` is ``data`` in the working folder of this program, which the service does not know."""
    return _FILES + os.path.abspath(uri[len(_FILES) :])
