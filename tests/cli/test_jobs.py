"""``clary jobs``, ``logs``, ``stop`` and ``endpoints`` on a platform with a few jobs."""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.cli import jobs
from clary.cli.logs import _milliseconds
from clary.control.jobs.kinds.training.status import advance, with_substitution
from clary.errors import UsageError

IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
ROLE = "arn:aws:iam::000000000000:role/any"
SMALL = {
    "num_layers": "18",
    "image_shape": "3,32,32",
    "resize": "36",
    "num_classes": "3",
    "num_training_samples": "12",
    "mini_batch_size": "6",
}

pytestmark = pytest.mark.slow
Create = Callable[..., str]


@pytest.fixture(scope="module")
def create(aws: Callable[[str], Any], colours: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Create:
    """``create("name", epochs="3")``: start a training job on pictures of three colours."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="pictures")
    root = colours(tmp_path_factory.mktemp("colours"), {"train": 4, "validation": 2})
    for split in ("train", "validation"):
        lines: list[str] = []
        for path in sorted((root / split).rglob("*.jpg")):
            name = path.relative_to(root).as_posix()
            s3.upload_file(str(path), "pictures", name)
            label = ("blue", "green", "red").index(path.parent.name)
            lines.append(f"{len(lines)}\t{label}\t{name.partition('/')[2]}\n")
        s3.put_object(Bucket="pictures", Key=f"{split}_lst/{split}.lst", Body="".join(lines).encode())

    def start(name: str, **settings: str) -> str:
        channels = []
        for channel in ("train", "validation", "train_lst", "validation_lst"):
            source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://pictures/{channel}/"}
            one = {"ChannelName": channel, "ContentType": "application/x-image", "DataSource": {"S3DataSource": source}}
            channels.append(one)
        aws("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            RoleArn=ROLE,
            InputDataConfig=channels,
            OutputDataConfig={"S3OutputPath": "s3://pictures/output"},
            ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
            HyperParameters={**SMALL, **settings},
        )
        return name

    return start


def listed(cli: Any, home: Path, *words: str) -> dict[str, dict[str, Any]]:
    code, out, err = cli("jobs", "--home", home, "--json", *words)
    assert code == 0, err
    return {job["name"]: job for job in json.loads(out)}


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.1)


def test_a_job_is_followed_to_its_end_and_listed(create, cli, platform_home):
    name = create("followed", epochs="2")
    assert listed(cli, platform_home)[name]["status"] not in ("Failed", "Stopped")
    code, out, err = cli("logs", name, "-f", "--home", platform_home)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len([line for line in lines if re.search(r"Epoch\[\d\] Validation-accuracy=", line)]) == 2
    assert cli("logs", name, "--home", platform_home)[1].splitlines() == lines
    assert cli("logs", name, "--since", "2100-01-01", "--home", platform_home)[1] == ""
    assert cli("logs", name, "--since", "1h", "--home", platform_home)[1].splitlines() == lines
    job = listed(cli, platform_home)[name]
    assert (job["status"], job["algorithm"], job["reason"]) == ("Completed", "image-classification:1", "")
    assert 0 < job["seconds"] < 300
    code, out, _ = cli("jobs", "--home", platform_home)
    assert re.search(
        rf"^{name} +Completed +image-classification:1 +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d +\d+:\d\d$", out, re.M
    )


def test_a_failed_job_says_why(create, cli, platform_home):
    name = create("failed", learning_rate="much")
    code, _, err = cli("logs", name, "-f", "--home", platform_home)
    assert code == 0
    assert f"{name} failed: " in err
    assert "learning_rate" in err
    assert set(listed(cli, platform_home, "--status", "Failed")) == {name}
    reason = listed(cli, platform_home)[name]["reason"]
    assert "learning_rate" in reason
    [row] = [line for line in cli("jobs", "--home", platform_home)[1].splitlines() if line.startswith(name)]
    assert row.endswith(reason)


def test_a_job_is_stopped(create, cli, platform_home):
    name = create("stopped", epochs="100000")
    until(lambda: "Epoch[0]" in cli("logs", name, "--home", platform_home)[1])
    assert listed(cli, platform_home)[name]["status"] == "Training"
    assert "1 running" in cli("status", "--home", platform_home)[1]
    code, _, err = cli("stop", name, "--home", platform_home)
    assert (code, err) == (0, f"{name} is stopping; `clary jobs` shows when it has\n")
    until(lambda: listed(cli, platform_home)[name]["status"] == "Stopped")


def test_a_processing_job_is_listed_followed_and_stopped_alike(aws, cli, platform_home):
    aws("sagemaker").create_processing_job(
        ProcessingJobName="prepared",
        RoleArn=ROLE,
        AppSpecification={
            "ImageUri": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310",
            "ContainerEntrypoint": ["sh", "-c", "echo begun; sleep 600"],
        },
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
    )
    until(lambda: "begun" in cli("logs", "prepared", "--home", platform_home)[1].splitlines())
    job = listed(cli, platform_home)["prepared"]
    assert (job["kind"], job["status"]) == ("processing", "InProgress")
    assert job["algorithm"] == "pytorch-training:2.1-cpu-py310"
    assert list(listed(cli, platform_home, "--limit", "1")) == ["prepared"]
    assert "1 running" in cli("status", "--home", platform_home)[1]
    code, _, err = cli("stop", "prepared", "--home", platform_home)
    assert (code, err) == (0, "prepared is stopping; `clary jobs` shows when it has\n")
    code, out, _ = cli("logs", "prepared", "-f", "--home", platform_home)
    assert (code, out.splitlines()[-1]) == (0, "begun")
    assert listed(cli, platform_home, "--status", "Stopped")["prepared"]["seconds"] > 0


def test_the_newest_come_first_and_as_many_as_asked_for(create, cli, platform_home):
    for name in ("older", "newer"):
        create(name, learning_rate="much")
    names = list(listed(cli, platform_home))
    assert names.index("newer") < names.index("older")
    assert list(listed(cli, platform_home, "--limit", "1")) == ["newer"]


def test_a_log_that_was_removed_is_empty(create, cli, platform_home):
    name = create("cleaned", learning_rate="much")
    assert cli("logs", name, "-f", "--home", platform_home)[0] == 0
    assert cli("clean", "--older", "0d", "--home", platform_home)[0] == 0
    code, out, err = cli("logs", name, "--home", platform_home)
    assert (code, out) == (0, "")
    assert err.startswith(f"{name} failed: ")


@pytest.mark.parametrize("words", [["logs", "nobody"], ["logs", "nobody", "-f"], ["stop", "nobody"]])
def test_an_unknown_job_is_one_line(cli, platform_home, words):
    code, out, err = cli(*words, "--home", platform_home)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no job is called `nobody`; `clary jobs` lists them" in err


def test_a_job_that_is_mistyped_is_told_the_nearest(create, cli, platform_home):
    name = create("near-by", learning_rate="much")
    code, _, err = cli("logs", "naer-by", "--home", platform_home)
    assert (code, f"no job is called `naer-by`; near it: {name}" in err) == (2, True)


def test_a_status_that_there_is_none(cli, platform_home):
    code, out, err = cli("jobs", "--status", "Done", "--home", platform_home)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "InProgress" in err


def test_endpoints(aws, cli, platform_home, colour_model):
    assert cli("endpoints", "--home", platform_home)[1].split() == ["name", "status", "models", "created", "remarks"]
    aws("s3").create_bucket(Bucket="models")
    aws("s3").upload_file(str(colour_model), "models", "model.tar.gz")
    sagemaker = aws("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar.gz"}
    sagemaker.create_model(ModelName="colours", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": "colours", "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="asked", EndpointConfigName="config")

    def status() -> str:
        (one,) = json.loads(cli("endpoints", "--home", platform_home, "--json")[1])
        assert (one["name"], one["models"]) == ("asked", ["colours"])
        return str(one["status"])

    until(lambda: status() == "InService")
    assert re.search(r"^asked +InService +colours +\d{4}-", cli("endpoints", "--home", platform_home)[1], re.M)
    assert json.loads(cli("status", "--home", platform_home, "--json")[1])["endpoints"] == {"InService": 1}
    logged = cli("logs", "asked", "--home", platform_home)[1]
    assert "in service after" in logged
    # SDK v2 deletes the configuration first.
    sagemaker.delete_endpoint_config(EndpointConfigName="config")
    assert re.search(r"^asked +InService +\d{4}-", cli("endpoints", "--home", platform_home)[1], re.M)
    sagemaker.delete_endpoint(EndpointName="asked")
    until(lambda: json.loads(cli("endpoints", "--home", platform_home, "--json")[1]) == [])
    # What it printed is there still, and there is nothing to wait for.
    code, out, err = cli("logs", "asked", "-f", "--home", platform_home)
    assert (code, out.startswith(logged), err) == (0, True, "")


def test_a_failed_endpoint_tells_its_log_and_why(aws, create, cli, platform_home, tmp_path):
    """It has the name of a job, as SDK v1 names it, and a model of users' code that raises."""
    create("same", learning_rate="much")
    source = b"def model_fn(model_dir):\n    print('reading', flush=True)\n    raise ValueError('no weights')\n"
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(source)
        archive.addfile(member, io.BytesIO(source))
    aws("s3").create_bucket(Bucket="code")
    aws("s3").upload_file(str(tmp_path / "model.tar.gz"), "code", "model.tar.gz")
    sagemaker = aws("sagemaker")
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.1-cpu-py310"
    container = {"Image": image, "ModelDataUrl": "s3://code/model.tar.gz"}
    sagemaker.create_model(ModelName="raises", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": "raises", "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="raises", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="same", EndpointConfigName="raises")
    code, out, err = cli("logs", "same", "--endpoint", "-f", "--home", platform_home)
    assert (code, "reading" in out.splitlines()) == (0, True)
    assert err.startswith("same failed: ValueError: no weights")
    listed = cli("endpoints", "--home", platform_home)[1]
    assert re.search(r"^same .* ValueError: no weights \(production variant A\)$", listed, re.M)
    assert "learning_rate" in cli("logs", "same", "-f", "--home", platform_home)[2]
    sagemaker.delete_endpoint(EndpointName="same")


def test_an_unknown_endpoint_is_one_line(cli, platform_home):
    code, out, err = cli("logs", "nobody", "--endpoint", "--home", platform_home)
    assert (code, out, err) == (2, "", "clary: no endpoint is called `nobody`; `clary endpoints` lists them\n")


def test_a_substituted_network_is_a_remark():
    body: dict[str, Any] = {"TrainingJobName": "job", "TrainingJobStatus": "InProgress", "CreationTime": 0.0}
    body |= {"SecondaryStatus": "Training"}
    body = with_substitution(advance(body, "Training", now=1.0), "resnet50", "tf_efficientnet_lite0")
    said = "tf_efficientnet_lite0 is trained in place of resnet50, whose pretrained weights are not here."
    record = jobs._record(jobs.KINDS[0], body, 5.0)
    assert (record["remarks"], jobs._row(record)[-1]) == ([said], said)
    failed = jobs._record(jobs.KINDS[0], {**body, "FailureReason": "why"}, 5.0)
    assert jobs._row(failed)[-1] == f"why; {said}"


@pytest.mark.parametrize(
    ("since", "age"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("5", 5), ("1.5m", 90)]
)
def test_ages(since, age):
    assert _milliseconds(since, 100_000.0) == (100_000 - age) * 1000


def test_times_are_local_unless_they_say_otherwise():
    assert _milliseconds("2026-01-31T12:00+00:00", 0.0) == 1769860800000
    local = time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))
    assert _milliseconds("2026-01-31 12:00", 0.0) == local * 1000


@pytest.mark.parametrize("since", ["", "soon", "10x", "-5m", "2026-13-01", "nan", "9" * 400, "1e9999"])
def test_what_is_no_time(since):
    with pytest.raises(UsageError, match=r"--since: .* is no time; use an age"):
        _milliseconds(since, 100_000.0)
