"""Processing jobs as their API: what is refused, what is kept, what is answered; asked by boto3."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from clary.control.jobs.kinds.processing.kind import KIND
from clary.control.jobs.status import Stage
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.control.platform import Platform
from clary.control.wire.app import create_app

from .conftest import Door

Refusal = Callable[..., tuple[str, str]]
ROLE = "arn:aws:iam::000000000000:role/ClaryRole"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
INPUT = {
    "InputName": "code",
    "S3Input": {
        "S3Uri": "s3://bucket/code/prep.py",
        "LocalPath": "/opt/ml/processing/input/code",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    },
}
OUTPUT = {
    "OutputName": "train",
    "S3Output": {"S3Uri": "s3://bucket/out", "LocalPath": "/opt/ml/processing/train", "S3UploadMode": "EndOfJob"},
}
REQUEST: dict[str, Any] = {
    "ProcessingJobName": "Prepare-1",
    "RoleArn": ROLE,
    "AppSpecification": {
        "ImageUri": IMAGE,
        "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/prep.py"],
    },
    "ProcessingInputs": [INPUT],
    "ProcessingOutputConfig": {"Outputs": [OUTPUT]},
    "ProcessingResources": {
        "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
    },
}


@dataclass
class Runner:
    """Stands for the job runner, whose own tests are elsewhere: notes what it is told."""

    submitted: list[tuple[str, str]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)

    def submit(self, kind: str, name: str) -> None:
        self.submitted.append((kind, name))

    def stop(self, kind: str, name: str) -> None:
        self.stopped.append((kind, name))


@pytest.fixture
def runner(platform: Platform, door: Door, put_object: Callable[[str], str]) -> Runner:
    """That of the platform behind the server, whose bucket holds the script."""
    put_object("code/prep.py")
    runner: Any = Runner()
    files = WithMachineFiles(platform.objects)
    platform = replace(platform, jobs=runner, objects=files)
    door.app = create_app(platform, region=platform.settings.region, account=platform.settings.account, s3=_no_s3)
    return runner  # type: ignore[no-any-return]


async def _no_s3(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no test here speaks to S3")


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """REQUEST with another value at the end of a path; None takes it away."""
    request = copy.deepcopy(REQUEST)
    place: Any = request
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return request


def test_a_job_is_kept_and_queued(sagemaker: Any, runner: Runner) -> None:
    answer = sagemaker.create_processing_job(**REQUEST, Tags=[{"Key": "team", "Value": "pets"}])
    arn = "arn:aws:sagemaker:eu-west-1:000000000000:processing-job/prepare-1"
    assert answer["ProcessingJobArn"] == arn
    assert runner.submitted == [("processing-job", "Prepare-1")]
    told = sagemaker.describe_processing_job(ProcessingJobName="Prepare-1")
    assert told["ProcessingJobArn"] == arn
    assert told["ProcessingJobStatus"] == "InProgress"
    assert told["CreationTime"] <= told["LastModifiedTime"]
    assert told["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert told["AppSpecification"] == REQUEST["AppSpecification"]
    assert told["ProcessingOutputConfig"] == REQUEST["ProcessingOutputConfig"]
    (given,) = told["ProcessingInputs"]
    defaults = {"S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}
    assert given == {"InputName": "code", "AppManaged": False, "S3Input": {**INPUT["S3Input"], **defaults}}  # type: ignore[dict-item]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "pets"}]
    assert "_phase" not in told


def test_what_is_kept_without_effect(sagemaker: Any, runner: Runner) -> None:
    network = {"EnableNetworkIsolation": True, "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    sagemaker.create_processing_job(**REQUEST, NetworkConfig=network)
    assert sagemaker.describe_processing_job(ProcessingJobName="Prepare-1")["NetworkConfig"] == network


def test_a_job_makes_its_trial_component(sagemaker: Any, runner: Runner) -> None:
    experiment = {"ExperimentName": "splits", "TrialComponentDisplayName": "prepare"}
    sagemaker.create_experiment(ExperimentName="splits")
    sagemaker.create_processing_job(**REQUEST, ExperimentConfig=experiment)
    assert sagemaker.describe_processing_job(ProcessingJobName="Prepare-1")["ExperimentConfig"] == experiment
    told = sagemaker.describe_trial_component(TrialComponentName="prepare-1-aws-processing-job")
    assert told["DisplayName"] == "prepare"
    assert told["Source"]["SourceType"] == "SageMakerProcessingJob"
    assert told["Status"]["PrimaryStatus"] == "InProgress"
    assert told["Parameters"]["SageMaker.InstanceCount"] == {"NumberValue": 1.0}
    assert told["InputArtifacts"] == {"code": {"Value": INPUT["S3Input"]["S3Uri"]}}  # type: ignore[index]
    (output,) = REQUEST["ProcessingOutputConfig"]["Outputs"]
    assert told["OutputArtifacts"] == {output["OutputName"]: {"Value": output["S3Output"]["S3Uri"]}}


def test_of_preferred_instances_the_first_is_had(sagemaker: Any, runner: Runner) -> None:
    preferences = [{"InstanceType": "ml.m5.large", "InstanceCount": 2}, {"InstanceType": "ml.m5.xlarge"}]
    config = {"InstancePreferences": preferences, "VolumeSizeInGB": 30}
    sagemaker.create_processing_job(**changed("ProcessingResources", "ClusterConfig", to=config))
    told = sagemaker.describe_processing_job(ProcessingJobName="Prepare-1")["ProcessingResources"]["ClusterConfig"]
    assert (told["SelectedInstanceType"], told["SelectedInstanceCount"]) == ("ml.m5.large", 2)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (changed("AppSpecification", "ImageUri", to="mine:1"), "the image mine:1 is not mapped"),
        (changed("AppSpecification", "ContainerEntrypoint", to=None), "no ContainerEntrypoint"),
        (
            changed("ProcessingInputs", 0, "S3Input", "S3Uri", to="s3://bucket/none"),
            'No S3 objects found under S3 URL "s3',
        ),
        (changed("ProcessingInputs", 0, "S3Input", "S3Uri", to="s3://no-bucket/x"), "No S3 objects found"),
        (changed("ProcessingInputs", 0, "S3Input", "LocalPath", to="/home/me"), "must begin with /opt/ml/processing/"),
        (changed("ProcessingInputs", 0, "S3Input", "LocalPath", to="/opt/ml/processing/../x"), "must begin with"),
        (
            changed("ProcessingInputs", 0, "S3Input", "LocalPath", to="/opt/ml/processing/" + "ü" * 128),
            "has a name that no file system takes",
        ),
        (changed("ProcessingInputs", 0, "S3Input", "LocalPath", to=None), "code has no LocalPath"),
        (
            changed("ProcessingInputs", 0, "S3Input", "S3InputMode", to="Pipe"),
            "S3InputMode Pipe, which is not supported",
        ),
        (changed("ProcessingInputs", 0, "S3Input", "S3CompressionType", to="Gzip"), "needs the S3InputMode Pipe"),
        (changed("ProcessingInputs", 0, "S3Input", to=None), "must have an S3Input"),
        (changed("ProcessingInputs", to=[INPUT, INPUT]), "input name code is used twice"),
        (changed("ProcessingInputs", to=[INPUT, INPUT | {"InputName": "b"}]), "code and b have one LocalPath"),
        (changed("ProcessingOutputConfig", "Outputs", to=[OUTPUT, OUTPUT]), "output name train is used twice"),
        (
            changed("ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri", to="s3://no-bucket/x"),
            'The bucket of the S3 URL "s3://no-bucket/x" does not exist',
        ),
        (
            changed("ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri", to="file:///tmp/x"),
            "which only the instance types local and local_gpu may use",
        ),
        (
            changed("ProcessingOutputConfig", "Outputs", 0, "S3Output", "LocalPath", to="/opt/ml/model"),
            "must begin with /opt/ml/processing/",
        ),
        (changed("ProcessingOutputConfig", "Outputs", 0, "S3Output", to=None), "must have an S3Output"),
        (
            changed(
                "ProcessingOutputConfig",
                "Outputs",
                to=[{"OutputName": "f", "FeatureStoreOutput": {"FeatureGroupName": "g"}}],
            ),
            "Feature Store, which is not here",
        ),
        (
            changed(
                "ProcessingInputs",
                0,
                "DatasetDefinition",
                to={
                    "AthenaDatasetDefinition": {
                        "Catalog": "c",
                        "Database": "d",
                        "QueryString": "q",
                        "OutputS3Uri": "s3://b/c",
                        "OutputFormat": "JSON",
                    }
                },
            ),
            "there is no Athena and no Redshift here",
        ),
        (changed("ProcessingResources", "ClusterConfig", "InstanceCount", to=None), "InstanceCount of 1 or more"),
        (changed("ProcessingResources", "ClusterConfig", "InstanceType", to="ml.mine"), "enum value set"),
        (
            changed("ProcessingInputs", to=[INPUT | {"InputName": f"n{n}"} for n in range(11)]),
            "less than or equal to 10",
        ),
        (REQUEST | {"Environment": {"A": "a\0b"}}, "cannot be stored"),
    ],
)
def test_what_could_never_run_is_refused(
    sagemaker: Any, runner: Runner, refusal: Refusal, request_: dict[str, Any], words: str
) -> None:
    code, message = refusal(sagemaker.create_processing_job, **request_)
    assert code == "ValidationException"
    assert words in message
    assert runner.submitted == []
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


def test_more_hosts_than_run_here(sagemaker: Any, runner: Runner, refusal: Refusal) -> None:
    request = changed("ProcessingResources", "ClusterConfig", "InstanceCount", to=9)
    code, message = refusal(sagemaker.create_processing_job, **request)
    assert (code, "InstanceCount 9" in message, "8 at the most" in message) == ("ResourceLimitExceeded", True, True)


def test_a_folder_of_this_machine_in_local_mode(sagemaker: Any, runner: Runner, tmp_path: Path) -> None:
    request = changed("ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3Uri", to=f"file://{tmp_path}/out")
    request["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "local"
    sagemaker.create_processing_job(**request)
    assert runner.submitted


def test_a_place_that_cannot_be_written(sagemaker: Any, runner: Runner, refusal: Refusal, monkeypatch: Any) -> None:
    def refused(self: LocalStore, bucket: str, key: str) -> None:
        from clary.control.wire.errors import ServiceError

        raise ServiceError("AccessDenied", "Access Denied", status=403)

    monkeypatch.setattr(LocalStore, "check_put", refused)
    code, message = refusal(sagemaker.create_processing_job, **REQUEST)
    assert code == "ValidationException"
    assert message == 'Nothing can be stored under the S3 URL "s3://bucket/out" (AccessDenied: Access Denied)'


def test_a_name_twice(sagemaker: Any, runner: Runner, refusal: Refusal) -> None:
    sagemaker.create_processing_job(**REQUEST)
    code, message = refusal(sagemaker.create_processing_job, **REQUEST | {"ProcessingJobName": "PREPARE-1"})
    assert code == "ResourceInUse"
    assert message.startswith("Job name must be unique within an AWS account and region, and a job with this name")


def end(platform: Platform, stage: Stage = Stage.COMPLETED, **more: Any) -> None:
    def change(record: Any) -> Any:
        body = KIND.status.advance({**record.body, **more}, stage, now=record.body["LastModifiedTime"] + 5)
        return body, KIND.status.word(body)

    platform.store.edit(KIND.name, "Prepare-1", change)


def test_a_job_that_is_over(sagemaker: Any, runner: Runner, platform: Platform, refusal: Refusal) -> None:
    sagemaker.create_processing_job(**REQUEST)
    end(platform, Stage.FAILED, FailureReason="why", ExitMessage="what it said")
    told = sagemaker.describe_processing_job(ProcessingJobName="Prepare-1")
    assert (told["ProcessingJobStatus"], told["FailureReason"], told["ExitMessage"]) == (
        "Failed",
        "why",
        "what it said",
    )
    (summary,) = sagemaker.list_processing_jobs(StatusEquals="Failed", NameContains="epare")["ProcessingJobSummaries"]
    assert summary["ProcessingEndTime"] == told["ProcessingEndTime"]
    assert (summary["FailureReason"], summary["ExitMessage"]) == ("why", "what it said")
    assert sagemaker.list_processing_jobs(StatusEquals="Completed")["ProcessingJobSummaries"] == []
    code, message = refusal(sagemaker.stop_processing_job, ProcessingJobName="Prepare-1")
    assert (code, "is in status Failed" in message) == ("ValidationException", True)
    assert runner.stopped == []


def test_stop_and_delete(sagemaker: Any, runner: Runner, platform: Platform, refusal: Refusal) -> None:
    sagemaker.create_processing_job(**REQUEST)
    sagemaker.stop_processing_job(ProcessingJobName="Prepare-1")
    assert runner.stopped == [("processing-job", "Prepare-1")]
    code, _ = refusal(sagemaker.delete_processing_job, ProcessingJobName="Prepare-1")
    assert code == "ResourceInUse"
    end(platform, Stage.STOPPED)
    folder = platform.settings.home / "processing-jobs/Prepare-1/opt_ml"
    folder.mkdir(parents=True)
    sagemaker.delete_processing_job(ProcessingJobName="Prepare-1")
    assert not folder.parent.exists()
    assert refusal(sagemaker.delete_processing_job, ProcessingJobName="Prepare-1")[0] == "ResourceNotFound"


@pytest.mark.parametrize("operation", ["describe_processing_job", "stop_processing_job"])
def test_one_that_there_is_not(sagemaker: Any, runner: Runner, refusal: Refusal, operation: str) -> None:
    found = refusal(getattr(sagemaker, operation), ProcessingJobName="nobody")
    assert found == ("ValidationException", "Could not find requested job with name: nobody")
