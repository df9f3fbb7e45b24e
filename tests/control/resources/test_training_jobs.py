"""Training jobs as their API: what is refused, what is kept, what is answered."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from clary.control.configuration import Configuration
from clary.control.jobs.kinds.training import status
from clary.control.jobs.metrics import NAMESPACE
from clary.control.jobs.trial_components import COMPONENT
from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.control.platform import Platform
from clary.control.resources import training_jobs as operations
from clary.control.resources.experiments import create_experiment
from clary.control.resources.trial_components import (
    create_trial_component,
    describe_trial_component,
    update_trial_component,
)
from clary.control.resources.trials import create_trial
from clary.control.settings import Settings
from clary.control.store.records import PART, Point, Store
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Call, calling
from clary.errors import CustomerError

ECR = "811284229777.dkr.ecr.us-east-1.amazonaws.com"
MODEL = botocore.session.get_session().get_service_model("sagemaker")


@dataclass
class Runner:
    """Stands for the job runner, whose own tests are elsewhere: notes what it is told."""

    submitted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def submit(self, kind: str, name: str) -> None:
        assert kind == "training-job"
        self.submitted.append(name)

    def stop(self, kind: str, name: str) -> None:
        assert kind == "training-job"
        self.stopped.append(name)


class Service:
    """The operations on a real store and real objects; every request and answer is checked against its shape."""

    def __init__(self, settings: Settings) -> None:
        self.runner = Runner()
        self.objects = LocalStore(settings.s3_root)
        self.objects.create_bucket("bucket", "us-east-1")
        for split in ("train", "validation"):
            path = self.objects.root / "bucket" / split / "cat" / "1.jpg"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"cat")
        self.store = Store(settings.database)
        jobs: Any = self.runner
        hosting: Any = None
        files = WithMachineFiles(self.objects)
        self.platform = Platform(settings, self.store, files, LogStore(settings.logs_root), jobs, hosting)

    def __call__(self, name: str, **request: Any) -> dict[str, Any]:
        model = MODEL.operation_model(name)
        problems = ParamValidator().validate(request, model.input_shape)
        assert not problems.has_errors(), problems.generate_report()
        function = getattr(operations, "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_"))
        with calling(Call("sagemaker", name, "eu-west-1", "id")):
            answer = function(self.platform, request)
            answer = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        if model.output_shape is None:
            assert answer is None
            return {}
        shown = {member: value for member, value in answer.items() if member in model.output_shape.members}
        problems = ParamValidator().validate(shown, model.output_shape)
        assert not problems.has_errors(), problems.generate_report()
        return shown

    def end(self, name: str, secondary: str = "Completed") -> None:
        def change(record):
            body = status.advance(record.body, secondary, now=record.body["LastModifiedTime"] + 5)
            return body, body["TrainingJobStatus"]

        self.store.edit("training-job", name, change)


@pytest.fixture
def service(tmp_path) -> Iterator[Service]:
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    service = Service(settings)
    yield service
    service.store.close()


def channel(name: str, uri: str = "", **members: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri or f"s3://bucket/{name}/"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **members}


def request(name: str = "Pets-1", **members: Any) -> dict[str, Any]:
    """As SDK v2 sends it for a built-in algorithm."""
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": f"{ECR}/image-classification:1", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/output"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.p3.2xlarge", "VolumeSizeInGB": 50},
        "RoleArn": "arn:aws:iam::000000000000:role/ClaryRole",
        "StoppingCondition": {"MaxRuntimeInSeconds": 360_000},
        "InputDataConfig": [channel("train", ContentType="application/x-image"), channel("validation")],
        "HyperParameters": {"num_classes": "2", "num_training_samples": "1", "learning_rate": "0.01"},
        "DebugHookConfig": {"S3OutputPath": "s3://bucket/output", "CollectionConfigurations": []},
        "ProfilerConfig": {"S3OutputPath": "s3://bucket/output", "DisableProfiler": False},
        "Environment": {"A": "b"},
    } | members


def changed(*path: str, value: Any = None) -> dict[str, Any]:
    """A request with one member set, or taken away for None."""
    made = request()
    at = made
    for step in path[:-1]:
        at[step] = dict(at[step])
        at = at[step]
    at[path[-1]] = value
    if value is None:
        del at[path[-1]]
    return made


PLAN = "arn:aws:sagemaker:us-east-1:000000000000:training-plan/p"


class TestLocalMode:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "1.jpg").write_bytes(b"cat")
        return tmp_path / "data"

    @staticmethod
    def local(data, out="s3://bucket/output", instance="local", **members):
        channels = [channel("train", f"file://{data}", ContentType="application/x-image", **members)]
        return request(InputDataConfig=[*channels, channel("validation")]) | {
            "OutputDataConfig": {"S3OutputPath": str(out)},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": instance, "VolumeSizeInGB": 1},
        }

    def test_files_of_this_machine_are_taken(self, service, folder):
        service("CreateTrainingJob", **self.local(folder, out=f"file://{folder}/out"))
        found = service("DescribeTrainingJob", TrainingJobName="Pets-1")
        assert found["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == f"file://{folder}"
        assert found["ResourceConfig"]["InstanceType"] == "local"
        assert not (folder / "out").exists()

    @pytest.mark.parametrize("instance", ["ml.m5.large", "local_gpu"])
    def test_by_no_other_instance(self, service, folder, instance):
        for made in (self.local(folder, instance=instance), self.local("/none", instance=instance)):
            with pytest.raises((ValidationException, CustomerError), match=r"local_gpu|only the instance types local"):
                service("CreateTrainingJob", **made)
        assert not service.runner.submitted

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"data": "/no/such/folder"}, "the train channel: there is no file at file:///no/such/folder"),
            ({"InputMode": "Pipe"}, "S3Prefix in Pipe mode of the train channel takes no files of this machine"),
            ({"out": "file://out"}, '"file://out" names no absolute path'),
            ({"out": "file://{folder}/1.jpg/out"}, 'Nothing can be stored under the S3 URL "file:///'),
        ],
    )
    def test_what_could_not_be_read_or_written(self, service, folder, members, message):
        given = {name: text.format(folder=folder) for name, text in members.items()}
        with pytest.raises(ValidationException, match=re.escape(message)):
            service("CreateTrainingJob", **self.local(**{"data": folder} | given))


def files(directory: str = "/pets", identity: str = "fs-0123456789abcdef0", **members: Any) -> dict[str, Any]:
    """A request whose channel is a file system's."""
    source = {
        "FileSystemId": identity,
        "FileSystemType": "EFS",
        "FileSystemAccessMode": "ro",
        "DirectoryPath": directory,
    }
    train = {"ChannelName": "train", "DataSource": {"FileSystemDataSource": source}, **members}
    return request(InputDataConfig=[train | {"ContentType": "application/x-image"}, channel("validation")])


class TestFileSystems:
    @pytest.fixture
    def mapped(self, service, tmp_path):
        shared = tmp_path / "shared"
        (shared / "pets" / "cat").mkdir(parents=True)
        (shared / "pets" / "cat" / "1.jpg").write_bytes(b"cat")
        (shared / "out").symlink_to(tmp_path)
        configuration = Configuration(filesystems={"fs-0123456789abcdef0": shared})
        settings = replace(service.platform.settings, configuration=configuration)
        service.platform = replace(service.platform, settings=settings)
        return service

    def test_a_mapped_one_is_taken_and_told_as_it_was_sent(self, mapped):
        made = files()
        mapped("CreateTrainingJob", **made)
        found = mapped("DescribeTrainingJob", TrainingJobName="Pets-1")
        assert found["InputDataConfig"] == made["InputDataConfig"]

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (
                files(identity="fs-00000000000000000"),
                'add the line fs-00000000000000000 = "FOLDER" under [filesystems]',
            ),
            (files("/none"), "there is no folder "),
            (files("/out"), "/out of fs-0123456789abcdef0 leads out of "),
            (files("/../home"), "leads out of "),
            (files(InputMode="Pipe"), "takes File mode only"),
        ],
    )
    def test_what_is_not_there_is_refused(self, mapped, made, message):
        with pytest.raises(ValidationException, match=re.escape(message)):
            mapped("CreateTrainingJob", **made)
        assert not mapped.runner.submitted


class TestTrialComponents:
    """What a job itself leaves in Experiments."""

    NAME = "Pets-1-aws-training-job"

    @staticmethod
    def component(service, name: str = NAME) -> dict[str, Any]:
        with calling(Call("sagemaker", "DescribeTrialComponent", "eu-west-1", "id")):
            answer = describe_trial_component(service.platform, {"TrialComponentName": name}) or {}
        model = MODEL.operation_model("DescribeTrialComponent").output_shape
        shown = {member: value for member, value in answer.items() if member in model.members}
        problems = ParamValidator().validate(shown, model)
        assert not problems.has_errors(), problems.generate_report()
        return shown

    @staticmethod
    def trial(service, experiment: str = "pets", trial: str = "one") -> None:
        with calling(Call("sagemaker", "CreateTrial", "eu-west-1", "id")):
            if service.store.get("experiment", experiment) is None:
                create_experiment(service.platform, {"ExperimentName": experiment})
            create_trial(service.platform, {"TrialName": trial, "ExperimentName": experiment})

    def test_a_job_makes_its_own(self, service):
        service("CreateTrainingJob", **request())
        found = self.component(service)
        arn = "arn:aws:sagemaker:eu-west-1:000000000000:training-job/pets-1"
        assert found["DisplayName"] == self.NAME
        assert found["Source"] == {"SourceArn": arn, "SourceType": "SageMakerTrainingJob"}
        assert found["Status"]["PrimaryStatus"] == "InProgress"
        assert found["Parameters"] == {
            "num_classes": {"NumberValue": 2.0},
            "num_training_samples": {"NumberValue": 1.0},
            "learning_rate": {"NumberValue": 0.01},
            "SageMaker.ImageUri": {"StringValue": f"{ECR}/image-classification:1"},
            "SageMaker.InstanceType": {"StringValue": "ml.p3.2xlarge"},
            "SageMaker.InstanceCount": {"NumberValue": 1.0},
            "SageMaker.VolumeSizeInGB": {"NumberValue": 50.0},
        }
        assert found["InputArtifacts"] == {
            "train": {"Value": "s3://bucket/train/", "MediaType": "application/x-image"},
            "validation": {"Value": "s3://bucket/validation/"},
        }
        assert found["OutputArtifacts"] == {"SageMaker.DebugHookOutput": {"Value": "s3://bucket/output"}}
        assert "EndTime" not in found

    def test_it_follows_its_job_to_the_end_and_beyond(self, service):
        made = request(HyperParameters={"optimizer": '"adam"', "epochs": "nan"})
        service("CreateTrainingJob", **made)
        name = {"TrainingJobName": "Pets-1"}
        job = service.store.get("training-job", "Pets-1")
        service.store.add_points([Point(NAMESPACE, "loss", name, job.created + at, 4.0 - at) for at in range(3)])
        service.end("Pets-1", "Training")
        service.end("Pets-1")
        before = self.component(service)
        message = "Status: Completed, secondary status: Completed, failure reason: ."
        assert before["Status"] == {"PrimaryStatus": "Completed", "Message": message}
        assert before["StartTime"] < before["EndTime"]
        assert before["Parameters"]["optimizer"] == {"StringValue": '"adam"'}
        assert before["Parameters"]["epochs"] == {"StringValue": "nan"}
        (metric,) = before["Metrics"]
        assert (metric["MetricName"], metric["Count"], metric["Last"], metric["Avg"]) == ("loss", 3, 2.0, 3.0)
        service("DeleteTrainingJob", **name)
        after = self.component(service)
        assert after | {"LastModifiedTime": 0} == before | {"LastModifiedTime": 0}
        # One of the same name is another: so is its component.
        service("CreateTrainingJob", **request())
        again = self.component(service)
        assert again["Status"]["PrimaryStatus"] == "InProgress"
        assert again["CreationTime"] > before["CreationTime"]

    def test_what_is_added_stays_beside_what_the_job_says(self, service):
        service("CreateTrainingJob", **request())
        added = {"TrialComponentName": self.NAME, "Parameters": {"seed": {"NumberValue": 7.0}}}
        with calling(Call("sagemaker", "UpdateTrialComponent", "eu-west-1", "id")):
            update_trial_component(service.platform, added)
        service.end("Pets-1")
        found = self.component(service)
        assert found["Parameters"]["seed"] == {"NumberValue": 7.0}
        assert found["Parameters"]["num_classes"] == {"NumberValue": 2.0}
        assert found["Status"]["PrimaryStatus"] == "Completed"

    def test_an_experiment_config_puts_it_into_a_trial(self, service):
        self.trial(service)
        config = {"ExperimentName": "pets", "TrialName": "one", "TrialComponentDisplayName": "Training"}
        service("CreateTrainingJob", **request(ExperimentConfig=config))
        assert service("DescribeTrainingJob", TrainingJobName="Pets-1")["ExperimentConfig"] == config
        assert self.component(service)["DisplayName"] == "Training"
        record = service.store.get(COMPONENT, self.NAME)
        (link,) = service.store.links(source=record.arn, kind=PART)
        assert link.destination.endswith(":experiment-trial/one")
        # Without a trial the job makes one.
        service("CreateTrainingJob", **request("Pets-2", ExperimentConfig={"ExperimentName": "pets"}))
        record = service.store.get(COMPONENT, "Pets-2-aws-training-job")
        (link,) = service.store.links(source=record.arn, kind=PART)
        assert service.store.by_arn(link.destination).body["ExperimentName"] == "pets"

    def test_a_run_is_told_of_its_jobs(self, service):
        self.trial(service)
        with calling(Call("sagemaker", "CreateTrialComponent", "eu-west-1", "id")):
            create_trial_component(service.platform, {"TrialComponentName": "pets-run"})
        config = {"ExperimentName": "pets", "TrialName": "one", "RunName": "pets-run"}
        service("CreateTrainingJob", **request(ExperimentConfig=config))
        (source,) = self.component(service, "pets-run")["Sources"]
        assert source["SourceArn"].endswith(":training-job/pets-1")

    @pytest.mark.parametrize(
        ("config", "code", "message"),
        [
            ({"ExperimentName": "none"}, "ResourceNotFound", "Experiment 'none' does not exist."),
            ({"TrialName": "none"}, "ResourceNotFound", "Trial 'none' does not exist."),
            ({"ExperimentName": "dogs", "TrialName": "one"}, "ValidationException", "belongs to the experiment 'pets'"),
        ],
    )
    def test_one_that_leads_nowhere_is_refused(self, service, config, code, message):
        self.trial(service)
        self.trial(service, "dogs", "two")
        with pytest.raises(ServiceError, match=re.escape(message)) as refused:
            service("CreateTrainingJob", **request(ExperimentConfig=config))
        assert refused.value.code == code
        assert not service.runner.submitted
        assert service.store.get("training-job", "Pets-1") is None


class TestCreate:
    def test_it_is_kept_and_handed_to_the_runner(self, service):
        answer = service("CreateTrainingJob", **request(Tags=[{"Key": "team", "Value": "vision"}]))
        arn = "arn:aws:sagemaker:eu-west-1:000000000000:training-job/pets-1"
        assert answer == {"TrainingJobArn": arn}
        assert service.runner.submitted == ["Pets-1"]
        assert service.store.tags(arn) == {"team": "vision"}

    def test_a_name_is_used_once(self, service):
        service("CreateTrainingJob", **request())
        for name in ("Pets-1", "pets-1"):
            with pytest.raises(ServiceError) as refused:
                service("CreateTrainingJob", **request(name))
            assert refused.value.code == "ResourceInUse"
            assert refused.value.message == (
                "Job name must be unique within an AWS account and region, and a job with this name already exists "
                "(arn:aws:sagemaker:eu-west-1:000000000000:training-job/pets-1)"
            )
        assert service.runner.submitted == ["Pets-1"]

    def test_two_at_once_are_one(self, service):
        async def both() -> list[Any]:
            with calling(Call("sagemaker", "CreateTrainingJob", "eu-west-1", "id")):
                calls = [operations.create_training_job(service.platform, request()) for _ in range(2)]
                return await asyncio.gather(*calls, return_exceptions=True)

        kinds = sorted(type(answer).__name__ for answer in asyncio.run(both()))
        assert kinds == ["ServiceError", "dict"]
        assert service.runner.submitted == ["Pets-1"]

    def test_no_data_in_the_words_of_aws(self, service):
        with pytest.raises(ValidationException) as refused:
            service("CreateTrainingJob", **request(InputDataConfig=[channel("train", "s3://bucket/nothing")]))
        assert refused.value.message == (
            'No S3 objects found under S3 URL "s3://bucket/nothing" given in input data source. Please ensure that '
            "the bucket exists in the selected region (eu-west-1), that objects exist under that S3 prefix, and that "
            'the role "arn:aws:iam::000000000000:role/ClaryRole" has "s3:ListBucket" permissions on bucket "bucket".'
        )
        assert service.store.get("training-job", "Pets-1") is None
        assert service.runner.submitted == []

    @pytest.mark.parametrize(
        ("path", "value", "text"),
        [
            (("AlgorithmSpecification", "TrainingImage"), "nobody/knows:3", "the image nobody/knows:3 is not known"),
            (("AlgorithmSpecification", "TrainingImage"), None, "names no TrainingImage"),
            (("AlgorithmSpecification", "ContainerEntrypoint"), ["/bin/bash"], "not for a built-in algorithm"),
            (
                ("AlgorithmSpecification", "TrainingImage"),
                "pytorch-training:2.1-cpu-py310",
                "runs a script, and the request names none",
            ),
            (("AlgorithmSpecification",), None, "names no TrainingImage"),
            (("OutputDataConfig", "S3OutputPath"), "s3://nowhere/x", '"s3://nowhere/x" does not exist'),
            (("OutputDataConfig", "S3OutputPath"), "https://bucket/x", '"https://bucket/x" is no S3 URI'),
            (("CheckpointConfig",), {"S3Uri": "s3://nowhere/y"}, '"s3://nowhere/y" does not exist'),
            (("ResourceConfig", "InstanceCount"), None, "ResourceConfig must have"),
            (("ResourceConfig", "InstanceType"), None, "ResourceConfig must have"),
            (("ResourceConfig", "InstanceCount"), 0, "ResourceConfig must have"),
            (("ResourceConfig",), None, "ResourceConfig must have"),
            (("HyperParameters", "num_classes"), "2\0", "HyperParameters: the value of `'num_classes'`"),
            (("Environment", "A"), "\ud800", "Environment: the value of `'A'`"),
            (("InputDataConfig",), [channel("train"), channel("train")], "train is used twice"),
            (
                ("InputDataConfig",),
                [channel("train") | {"InputMode": "Pipe"}, channel("train_0", "s3://bucket/train/")],
                "The channel name train_0 is that of a pipe of the channel train",
            ),
            (("InputDataConfig",), [channel("..", "s3://bucket/train/")], "begins with a dot"),
            (
                ("InputDataConfig",),
                [channel("train", ContentType="application/x-image")],
                "^The validation channel is missing; this algorithm needs the channels train and validation$",
            ),
            (
                ("InputDataConfig",),
                [channel("train", ContentType="text/csv"), channel("validation", ContentType="text/csv")],
                "^The train channel has the content type `text/csv`, which is not read here; use one of app",
            ),
            (
                ("InputDataConfig",),
                [channel(name, ContentType="image/png", InputMode="Pipe") for name in ("train", "validation")],
                "^The train channel is in Pipe mode; image/png is read in File mode$",
            ),
            (("EnableManagedSpotTraining",), True, "Invalid MaxWaitTimeInSeconds"),
            (("Tags",), [{"Key": "a", "Value": "b"}] * 2, "Duplicate tag keys"),
            (
                ("AlgorithmSpecification", "MetricDefinitions"),
                [{"Name": "loss", "Regex": "loss=(["}],
                'The regex "loss=\\(\\[" of the metric loss cannot be used',
            ),
            (
                ("AlgorithmSpecification", "MetricDefinitions"),
                [{"Name": "loss", "Regex": "(a+)+$"}],
                'The regex "\\(a\\+\\)\\+\\$" of the metric loss takes too long',
            ),
        ],
    )
    def test_what_could_never_run(self, service, path, value, text):
        with pytest.raises(ValidationException, match=text):
            service("CreateTrainingJob", **changed(*path, value=value))
        assert service.runner.submitted == []

    def test_places_by_the_addresses_of_s3(self, service):
        """Wherever an S3 URI stands; described as they were sent."""
        channels = [channel(n, f"https://bucket.s3.us-east-1.amazonaws.com/{n}/") for n in ("train", "validation")]
        channels[0]["ContentType"] = "application/x-image"
        output, checkpoints = "https://s3.amazonaws.com/bucket/out", "https://s3-eu-west-1.amazonaws.com/bucket/steps"
        sent = request(InputDataConfig=channels, OutputDataConfig={"S3OutputPath": output})
        service("CreateTrainingJob", **sent, CheckpointConfig={"S3Uri": checkpoints})
        described = service("DescribeTrainingJob", TrainingJobName="Pets-1")
        assert described["InputDataConfig"] == channels
        assert described["OutputDataConfig"]["S3OutputPath"] == output
        elsewhere = {"S3OutputPath": "https://none.s3.amazonaws.com/x"}
        with pytest.raises(ValidationException, match=r'"https://none\.s3\.amazonaws\.com/x" does not exist'):
            service("CreateTrainingJob", **request("Other", OutputDataConfig=elsewhere))

    @pytest.mark.parametrize("bucket", ["sagemaker-sample-files", "jumpstart-cache-prod-us-east-1"])
    def test_a_bucket_of_awss_samples_says_so(self, service, bucket):
        with pytest.raises(ValidationException, match=f'the line "{bucket}" = "FOLDER" under'):
            service("CreateTrainingJob", **request(InputDataConfig=[channel("train", f"s3://{bucket}/a")]))
        with pytest.raises(ValidationException, match=f'the line "{bucket}" = "FOLDER" under'):
            service("CreateTrainingJob", **changed("OutputDataConfig", "S3OutputPath", value=f"s3://{bucket}/a"))

    def test_a_wrong_hyperparameter_is_the_jobs_own_failure(self, service):
        service("CreateTrainingJob", **request(HyperParameters={"num_classes": "many"}))
        assert service.runner.submitted == ["Pets-1"]

    def test_the_shape_of_v3(self, service):
        sent = request(
            "base-20260101000000",
            InputDataConfig=[channel("train", InputMode="File"), channel("validation", InputMode="File")],
            OutputDataConfig={"S3OutputPath": "s3://bucket/base", "CompressionType": "GZIP"},
        )
        for member in ("DebugHookConfig", "ProfilerConfig", "StoppingCondition", "Environment"):
            del sent[member]
        service("CreateTrainingJob", **sent)
        answer = service("DescribeTrainingJob", TrainingJobName="base-20260101000000")
        assert answer["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400}


class TestDescribe:
    def test_a_new_job(self, service):
        sent = request()
        service("CreateTrainingJob", **sent)
        answer = service("DescribeTrainingJob", TrainingJobName="Pets-1")
        created = answer.pop("CreationTime")
        modified = answer.pop("LastModifiedTime")
        (transition,) = answer.pop("SecondaryStatusTransitions")
        assert abs(modified - created) < 1
        assert transition == {
            "Status": "Starting",
            "StartTime": pytest.approx(created, abs=1),
            "StatusMessage": "Starting the training job",
        }
        assert answer == sent | {
            "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:000000000000:training-job/pets-1",
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "ModelArtifacts": {"S3ModelArtifacts": ""},
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/output", "KmsKeyId": "", "CompressionType": "GZIP"},
            "AlgorithmSpecification": {
                **sent["AlgorithmSpecification"],
                "MetricDefinitions": [
                    {"Name": "train:accuracy", "Regex": r"Epoch\S* Train-accuracy=(\S*)"},
                    {"Name": "validation:accuracy", "Regex": r"Epoch\S* Validation-accuracy=(\S*)"},
                ],
            },
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
        }

    def test_metrics_of_the_request_win_over_those_of_the_algorithm(self, service):
        own = [{"Name": "train:accuracy", "Regex": "mine=(.*)"}, {"Name": "loss", "Regex": "loss=(.*)"}]
        service("CreateTrainingJob", **changed("AlgorithmSpecification", "MetricDefinitions", value=own))
        found = service("DescribeTrainingJob", TrainingJobName="Pets-1")["AlgorithmSpecification"]["MetricDefinitions"]
        assert [definition["Name"] for definition in found] == ["validation:accuracy", "train:accuracy", "loss"]
        assert own[0] in found

    def test_a_finished_job(self, service):
        service("CreateTrainingJob", **request())
        for stage in ("Downloading", "Training", "Uploading", "Completed"):
            service.end("Pets-1", stage)
        answer = service("DescribeTrainingJob", TrainingJobName="Pets-1")
        assert answer["TrainingJobStatus"] == "Completed"
        assert answer["BillableTimeInSeconds"] == answer["TrainingTimeInSeconds"] == 15
        assert [t["Status"] for t in answer["SecondaryStatusTransitions"]] == [
            "Starting",
            "Downloading",
            "Training",
            "Uploading",
            "Completed",
        ]

    @pytest.mark.parametrize("name", ["DescribeTrainingJob", "StopTrainingJob", "UpdateTrainingJob"])
    def test_a_job_that_does_not_exist(self, service, name):
        with pytest.raises(ValidationException, match=r"^Requested resource not found\.$"):
            service(name, TrainingJobName="nobody")


class TestList:
    def test_summaries(self, service):
        for name in ("a-1", "b-2"):
            service("CreateTrainingJob", **request(name))
        service.end("a-1", "Failed")
        found = service("ListTrainingJobs")["TrainingJobSummaries"]
        assert [summary["TrainingJobName"] for summary in found] == ["a-1", "b-2"]
        assert found[0]["TrainingJobStatus"] == found[0]["SecondaryStatus"] == "Failed"
        assert found[0]["TrainingEndTime"] >= found[0]["CreationTime"]
        assert "TrainingEndTime" not in found[1]
        (failed,) = service("ListTrainingJobs", StatusEquals="Failed")["TrainingJobSummaries"]
        assert failed["TrainingJobName"] == "a-1"

    def test_none(self, service):
        assert service("ListTrainingJobs") == {"TrainingJobSummaries": []}

    def test_a_warm_pool_ends_with_its_job(self, service):
        resources = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        service("CreateTrainingJob", **request("other"))
        kept = request(ResourceConfig={**resources, "KeepAlivePeriodInSeconds": 600})
        service("CreateTrainingJob", **kept)
        assert service("DescribeTrainingJob", TrainingJobName="Pets-1")["WarmPoolStatus"] == {"Status": "InUse"}
        (found,) = service("ListTrainingJobs", WarmPoolStatusEquals="InUse")["TrainingJobSummaries"]
        assert found["TrainingJobName"] == "Pets-1"
        service.end("Pets-1")
        described = service("DescribeTrainingJob", TrainingJobName="Pets-1")
        assert described["WarmPoolStatus"] == {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 0}
        assert "WarmPoolStatus" not in service("DescribeTrainingJob", TrainingJobName="other")

    @pytest.mark.parametrize("wanted", [{"WarmPoolStatusEquals": "Available"}, {"TrainingPlanArnEquals": PLAN}])
    def test_no_job_has_what_this_machine_has_not(self, service, wanted):
        service("CreateTrainingJob", **request())
        assert service("ListTrainingJobs", **wanted)["TrainingJobSummaries"] == []
        assert len(service("ListTrainingJobs")["TrainingJobSummaries"]) == 1


class TestStop:
    def test_the_runner_is_told(self, service):
        service("CreateTrainingJob", **request())
        assert service("StopTrainingJob", TrainingJobName="Pets-1") == {}
        assert service.runner.stopped == ["Pets-1"]

    @pytest.mark.parametrize(
        ("end", "shown"),
        [("Completed", "Completed"), ("Failed", "Failed"), ("Stopped", "Stopped"), ("MaxRuntimeExceeded", "Stopped")],
    )
    def test_a_job_that_is_over(self, service, end, shown):
        service("CreateTrainingJob", **request())
        service.end("Pets-1", end)
        with pytest.raises(ValidationException) as refused:
            service("StopTrainingJob", TrainingJobName="Pets-1")
        assert refused.value.message == f"The request was rejected because the training job is in status {shown}."
        assert service.runner.stopped == []


class TestUpdate:
    def test_what_is_sent_is_kept(self, service):
        service("CreateTrainingJob", **request())
        rule = {"RuleConfigurationName": "ProfilerReport", "RuleEvaluatorImage": "x/sagemaker-debugger-rules:latest"}
        service(
            "UpdateTrainingJob",
            TrainingJobName="Pets-1",
            ProfilerConfig={"ProfilingIntervalInMilliseconds": 500, "DisableProfiler": True},
            ProfilerRuleConfigurations=[rule],
        )
        service("UpdateTrainingJob", TrainingJobName="Pets-1", ProfilerRuleConfigurations=[{**rule, "LocalPath": "/x"}])
        answer = service("DescribeTrainingJob", TrainingJobName="Pets-1")
        assert answer["ProfilerConfig"] == {
            "S3OutputPath": "s3://bucket/output",
            "ProfilingIntervalInMilliseconds": 500,
            "DisableProfiler": True,
        }
        assert answer["ProfilerRuleConfigurations"] == [{**rule, "LocalPath": "/x"}]
        assert answer["TrainingJobStatus"] == "InProgress"

    def test_a_job_that_is_over(self, service):
        service("CreateTrainingJob", **request())
        service.end("Pets-1", "Failed")
        with pytest.raises(ValidationException, match="in status Failed"):
            service("UpdateTrainingJob", TrainingJobName="Pets-1", ProfilerConfig={"DisableProfiler": True})


class TestDelete:
    def test_a_job_and_its_folder(self, service):
        service("CreateTrainingJob", **request())
        service.end("Pets-1")
        folder = service.platform.settings.jobs_root / "Pets-1" / "opt_ml" / "checkpoints"
        folder.mkdir(parents=True)
        service("DeleteTrainingJob", TrainingJobName="Pets-1")
        assert not folder.exists()
        with pytest.raises(ServiceError) as refused:
            service("DeleteTrainingJob", TrainingJobName="Pets-1")
        assert refused.value.code == "ResourceNotFound"
        service("CreateTrainingJob", **request())

    def test_not_while_it_runs(self, service):
        service("CreateTrainingJob", **request())
        with pytest.raises(ServiceError) as refused:
            service("DeleteTrainingJob", TrainingJobName="Pets-1")
        assert refused.value.code == "ResourceInUse"


class TestOutputs:
    """What could not be stored is refused before anything is trained."""

    def refused(self, service, **config: Any) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            service("CreateTrainingJob", **request(**config))
        assert service.runner.submitted == []
        return caught.value

    @pytest.mark.parametrize("member", ["OutputDataConfig", "CheckpointConfig"])
    def test_a_key_that_nothing_can_have(self, member, service):
        uri = f"s3://bucket/{'long/' * 300}"
        config = {"OutputDataConfig": {"S3OutputPath": uri}, "CheckpointConfig": {"S3Uri": uri}}
        # The API's own pattern has a limit, beyond which a request does not come here.
        found = self.refused(service, **{member: config[member]})
        assert found.code == "ValidationException"
        assert found.message.startswith(f'Nothing can be stored under the S3 URL "{uri}" (KeyTooLongError: ')

    @pytest.mark.parametrize("uri", ["s3://", "s3:///x", "/home/me/out"])
    def test_what_is_no_uri(self, uri, service):
        found = self.refused(service, OutputDataConfig={"S3OutputPath": uri})
        assert (found.code, found.message) == ("ValidationException", f'"{uri}" is no S3 URI; write s3://bucket/prefix')

    def test_a_bucket_that_may_not_be_written(self, service, monkeypatch):
        monkeypatch.setattr("os.access", lambda path, mode: False)  # tests may run as root, who may do everything
        found = self.refused(service)
        assert found.code == "ValidationException"
        assert "(AccessDenied: Access Denied: " in found.message

    def test_a_disk_without_room(self, service, monkeypatch):
        usage = shutil.disk_usage("/")
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1 << 20))
        found = self.refused(service)
        assert (found.code, found.status) == ("StorageFull", 507)
