"""A job's folder before its program starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control import home
from clary.control.configuration import Configuration
from clary.control.jobs.environment import program_variables
from clary.control.jobs.kinds.training import programs
from clary.control.jobs.kinds.training.preparation import checkpoint_folder, environment, prepare, resource_config
from clary.control.jobs.kinds.training.programs import ImageCommand
from clary.control.jobs.launch import Algorithm, Launch
from clary.control.logs.streams import LogStore, LogWriter
from clary.control.objects.base import ObjectStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError
from clary.errors import CustomerError, HyperparameterError
from clary.vision.base.files import RESERVED
from clary.vision.base.jobdir import JobDir

SPOKEN = st.characters(exclude_categories=["Cs"])  # half characters are refused when a job is created
GROUP, STREAM = "/aws/sagemaker/TrainingJobs", "job/algo-1-1700000000"


class Preparing:
    """``prepare`` with all it needs, and the lines it logged."""

    def __init__(self, settings: Settings, objects: ObjectStore) -> None:
        self.settings, self.objects = settings, objects
        self._logs = LogStore(settings.logs_root)
        self.stream = self._logs.path(GROUP, STREAM)

    def __call__(self, body, isolated: bool = True) -> Launch:
        log = LogWriter(self.stream)
        try:
            return prepare(
                body, settings=self.settings, objects=self.objects, log=log, stream=self.stream, isolated=isolated
            )
        finally:
            log.close()

    @property
    def lines(self) -> list[str]:
        return [event.message for event in self._logs.events(GROUP, STREAM)]

    @property
    def opt_ml(self) -> Path:
        return self.settings.jobs_root / "job" / "opt_ml"


@pytest.fixture
def preparing(settings, objects, upload) -> Preparing:
    upload({"train/cat/1.jpg": b"cat", "train/dog/1.jpg": b"dog"})
    return Preparing(settings, objects)


def config_of(opt_ml: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (opt_ml / "input" / "config").iterdir()}


def test_the_tree_and_its_configuration_files(preparing, make_body):
    preparing(make_body())
    assert config_of(preparing.opt_ml) == {
        "hyperparameters.json": {"num_classes": "2", "num_training_samples": "4"},
        "inputdataconfig.json": {
            "train": {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
                "ContentType": "application/x-image",
            }
        },
        "resourceconfig.json": {
            "current_host": "algo-1",
            "current_instance_type": "ml.c5.xlarge",
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": "ml.c5.xlarge", "hosts": ["algo-1"]}
            ],
            "network_interface_name": "lo",
        },
    }
    for folder in ("model", "output/data", "checkpoints", "input/data/train/cat"):
        assert (preparing.opt_ml / folder).is_dir()
    assert (preparing.opt_ml / "input/data/train/cat/1.jpg").read_bytes() == b"cat"
    assert (preparing.opt_ml / "output/failure").exists() is False
    # For a last word on a disk that is full by the time the program begins.
    assert (preparing.opt_ml / "output/failure.room").stat().st_size == RESERVED


def test_what_a_monitor_is_told(preparing, make_body, settings):
    launch = preparing(make_body(_attempt=3))
    assert launch == Launch(
        job="job",
        folder=settings.jobs_root / "job",
        log=preparing.stream,
        program=Algorithm("image-classification"),
        environment=launch.environment,
        namespace=True,
        inputs=(preparing.opt_ml / "input/data/train",),
        hosts=("algo-1",),
        max_run=3600.0,
        grace=settings.stop_grace,
        attempt=3,
        s3_root=settings.s3_root,
        region=settings.region,
    )
    launch.write()
    assert Launch.read(launch.folder) == launch


def test_the_algorithm_reads_back_what_was_sent(preparing, make_body):
    values = {"num_classes": "2", "num_training_samples": "4", "learning_rate": "1e-3", "kv_store": "dist_sync"}
    values |= {"_tuning_objective_metric": "validation:accuracy"}
    preparing(make_body(HyperParameters=values))
    assert JobDir(preparing.opt_ml).hyperparameters == values
    assert list(JobDir(preparing.opt_ml).channels) == ["train"]


@given(st.dictionaries(st.text(SPOKEN, max_size=8), st.text(SPOKEN, max_size=20), max_size=6))
def test_hyperparameters_pass_through_as_they_are(tmp_path_factory, values):
    job = JobDir.create(tmp_path_factory.mktemp("job"), values, {})
    assert json.loads((job.config / "hyperparameters.json").read_text()) == job.hyperparameters == values


def test_no_hyperparameters_and_no_channels_are_empty_objects(preparing, make_body, monkeypatch):
    monkeypatch.setattr("clary.control.jobs.kinds.training.programs.spec_of", lambda specification, rules=(): None)
    body = make_body()
    del body["HyperParameters"], body["InputDataConfig"]
    preparing(body)
    config = config_of(preparing.opt_ml)
    assert config["hyperparameters.json"] == {}
    assert config["inputdataconfig.json"] == {}


def test_files_that_come_only_with_their_part_of_the_request(preparing, make_body):
    preparing(
        make_body(
            CheckpointConfig={"S3Uri": "s3://bucket/points"},
            TensorBoardOutputConfig={"S3OutputPath": "s3://bucket/tb"},
            DebugHookConfig={"S3OutputPath": "s3://bucket/debug", "CollectionConfigurations": []},
        )
    )
    config = config_of(preparing.opt_ml)
    assert config["checkpointconfig.json"] == {"S3Uri": "s3://bucket/points", "LocalPath": "/opt/ml/checkpoints"}
    assert config["tensorboardoutputconfig.json"] == {
        "LocalPath": "/opt/ml/output/tensorboard",
        "S3OutputPath": "s3://bucket/tb",
    }
    assert config["debughookconfig.json"] == {
        "LocalPath": "/opt/ml/output/tensors",
        "S3OutputPath": "s3://bucket/debug",
        "HookParameters": None,
        "CollectionConfigurations": [],
    }


def test_instance_groups(make_body):
    groups = [{"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 2, "InstanceGroupName": "gpus"}]
    config = resource_config(make_body(ResourceConfig={"InstanceGroups": groups}), ["algo-2", "algo-10", "algo-1"])
    assert config["hosts"] == ["algo-1", "algo-10", "algo-2"]
    assert config["current_instance_type"] == "ml.g4dn.xlarge"
    assert config["current_group_name"] == config["instance_groups"][0]["instance_group_name"] == "gpus"


class TestEnvironment:
    def test_what_sagemaker_sets(self, make_body, settings, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "production")
        monkeypatch.setenv("GITHUB_TOKEN", "secret")
        monkeypatch.setenv("PATH", "/bin")
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        found = environment(make_body(Environment={"LR": "a b\n=c", "AWS_REGION": "mine"}), settings)
        wanted = {
            "TRAINING_JOB_NAME": "job",
            "TRAINING_JOB_ARN": "arn:aws:sagemaker:eu-west-1:000000000000:training-job/job",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:4747",
            "AWS_ACCESS_KEY_ID": "clary",
            "AWS_SECRET_ACCESS_KEY": "clary",
            "PYTHONUNBUFFERED": "1",
            "PATH": "/bin",
        }
        assert wanted.items() <= found.items()
        assert not {"AWS_PROFILE", "GITHUB_TOKEN", "SAGEMAKER_BASE_DIR", "NO_PROXY", "LR"} & found.keys()

    def test_that_of_the_request_is_kept_apart_and_what_is_withheld_is_said(self, preparing, make_body):
        given = {"OMP_NUM_THREADS": "1", "LD_PRELOAD": "x.so", "CLARY_PRECISION_CACHE": "/home/me/.bashrc"}
        launch = preparing(make_body(Environment=given))
        assert launch.given == given
        assert launch.environment.get("CLARY_PRECISION_CACHE") is None
        [line] = [line for line in preparing.lines if line.startswith("Environment")]
        assert "CLARY_PRECISION_CACHE, LD_PRELOAD withheld from the built-in algorithm image-classification" in line

    def test_a_users_own_program_is_told_nothing_since_it_gets_all(self, preparing, make_body, monkeypatch):
        monkeypatch.setattr(programs, "resolve", lambda specification, rules=(): ImageCommand(("program",)))
        given = {"LD_PRELOAD": "x.so", "SAGEMAKER_BASE_DIR": "/elsewhere"}
        assert preparing(make_body(Environment=given)).given == given
        assert not any("Environment" in line for line in preparing.lines)
        preparing(make_body(Environment=given), isolated=False)
        assert any("Environment: SAGEMAKER_BASE_DIR stays" in line for line in preparing.lines)

    @pytest.mark.parametrize(("allowed", "said"), [(True, "1"), (False, None)])
    def test_whether_weights_may_be_substituted_is_the_platforms_word(
        self, allowed, said, make_body, settings, monkeypatch
    ):
        monkeypatch.setenv("CLARY_SUBSTITUTE_WEIGHTS", "1")
        found = environment(make_body(), replace(settings, substitute_weights=allowed))
        assert found.get("CLARY_SUBSTITUTE_WEIGHTS") == said

    def test_the_gateway_is_reached_past_a_proxy(self, make_body, settings, monkeypatch):
        monkeypatch.setenv("https_proxy", "http://proxy:3128")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", "intranet")
        found = environment(make_body(), settings)
        assert found["https_proxy"] == "http://proxy:3128"
        assert found["no_proxy"] == found["NO_PROXY"] == "127.0.0.1,localhost,intranet"

    def test_the_keys_of_a_gateway_that_asks_for_them(self, make_body, settings):
        settings.home.mkdir(parents=True)
        key, secret = next(iter(home.credentials(settings.home).items()))
        found = environment(make_body(), settings)
        assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == (key, secret)


class TestChannels:
    def test_those_a_job_changes_are_copies(self, preparing, make_body, make_channel, upload, objects):
        upload({"src/train.sh": b"true"})
        given = [make_channel(name, "s3://bucket/src/") for name in ("code", "sm_drivers", "train")]
        launch = preparing(make_body(InputDataConfig=given))
        stored = objects.root / "bucket/src/train.sh"
        data = preparing.opt_ml / "input/data"
        assert not (data / "code/train.sh").samefile(stored)
        assert not (data / "sm_drivers/train.sh").samefile(stored)
        assert (data / "train/train.sh").samefile(stored)
        assert launch.inputs == (data / "train",)

    def test_built_in_algorithms_get_all_data_on_one_host(self, preparing, make_body, make_channel):
        channel = make_channel("train", "s3://bucket/train/", distribution="ShardedByS3Key")
        resources = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 3}
        launch = preparing(make_body(InputDataConfig=[channel], ResourceConfig=resources))
        assert launch.hosts == ("algo-1",)
        assert len(list((preparing.opt_ml / "input/data/train").rglob("*.jpg"))) == 2
        assert any("3 instances were asked for" in line for line in preparing.lines)

    def test_what_is_kept_without_effect_is_said(self, preparing, make_body):
        resources = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "KeepAlivePeriodInSeconds": 60}
        preparing(make_body(ResourceConfig=resources, EnableManagedSpotTraining=True))
        for word in ("KeepAlivePeriodInSeconds", "EnableManagedSpotTraining"):
            assert [f"{word}: kept without effect" in line for line in preparing.lines].count(True) == 1

    def test_a_file_system_is_read_where_it_is_mapped_to(self, preparing, make_body, tmp_path):
        shared = tmp_path / "shared" / "pets"
        shared.mkdir(parents=True)
        (shared / "1.jpg").write_bytes(b"cat")
        configuration = Configuration(filesystems={"fs-1": shared.parent}, buckets={"samples-*": shared})
        preparing.settings = replace(preparing.settings, configuration=configuration)
        preparing.objects = WithMachineFiles(preparing.objects)
        files = {
            "FileSystemId": "fs-1",
            "FileSystemType": "EFS",
            "FileSystemAccessMode": "rw",
            "DirectoryPath": "/pets",
        }
        launch = preparing(
            make_body(InputDataConfig=[{"ChannelName": "train", "DataSource": {"FileSystemDataSource": files}}])
        )
        assert (preparing.opt_ml / "input/data/train/1.jpg").read_bytes() == b"cat"
        assert launch.inputs == (preparing.opt_ml / "input/data/train",)
        assert launch.s3_buckets == {"samples-*": str(shared)}
        launch.write()
        assert Launch.read(launch.folder) == launch
        assert "FileSystemAccessMode rw: the train channel is only read here" in preparing.lines

    def test_metrics_may_be_written_to_files(self, preparing, make_body, monkeypatch):
        assert preparing(make_body()).environment["SAGEMAKER_METRICS_DIRECTORY"] == "/opt/ml/output/metrics/sagemaker"
        assert (preparing.opt_ml / "output/metrics/sagemaker").is_dir()
        monkeypatch.setattr(programs, "resolve", lambda specification, rules=(): ImageCommand(("program",)))
        found = preparing(make_body(), isolated=False).environment["SAGEMAKER_METRICS_DIRECTORY"]
        assert found == str(preparing.opt_ml / "output/metrics/sagemaker")

    def test_those_in_pipe_mode_have_no_folder_and_are_fed(self, preparing, make_body, make_channel):
        given = [
            make_channel(
                "train", "s3://bucket/train/", InputMode="Pipe", RecordWrapperType="RecordIO", ContentType="a/b"
            ),
            make_channel("validation", "s3://bucket/train/"),
        ]
        launch = preparing(make_body(InputDataConfig=given))
        data = preparing.opt_ml / "input/data"
        assert [path.name for path in data.iterdir()] == ["validation"]
        assert launch.inputs == (data / "validation",)
        [pipe] = launch.pipes
        assert (pipe.channel, pipe.wrapped, pipe.source) == ("train", True, "s3://bucket/")
        assert pipe.items.read_text().split() == ['"train/cat/1.jpg"', '"train/dog/1.jpg"']
        assert config_of(preparing.opt_ml)["inputdataconfig.json"]["train"] == {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "RecordIO",
            "ContentType": "a/b",
        }
        launch.write()
        assert Launch.read(launch.folder) == launch

    def test_a_bad_line_of_a_manifest_ends_the_job_before_its_start(self, preparing, make_body, make_channel, upload):
        upload({"lists/train": b'{"source-ref": "s3://bucket/train/cat/1.jpg", "class": 0}\n{"class": 1}\n'})
        channel = make_channel("train", "s3://bucket/lists/train", "AugmentedManifestFile", InputMode="Pipe")
        channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref", "class"]
        with pytest.raises(CustomerError, match=r"^s3://bucket/lists/train:2: has no attribute `source-ref`"):
            preparing(make_body(InputDataConfig=[channel]))

    def test_a_missing_namespace_is_said(self, preparing, make_body):
        launch = preparing(make_body(), isolated=False)
        assert program_variables(launch)["SAGEMAKER_BASE_DIR"] == str(preparing.opt_ml)
        assert launch.namespace is False
        assert any("SAGEMAKER_BASE_DIR" in line for line in preparing.lines)


class TestStartingOver:
    def test_only_checkpoints_are_kept(self, preparing, make_body):
        preparing(make_body())
        for left in ("model/m", "output/failure", "output/data/x", "checkpoints/last", "input/data/train/own"):
            (preparing.opt_ml / left).write_text("left")
        (preparing.opt_ml.parent / "scratch/input/work").mkdir(parents=True)
        (preparing.opt_ml.parent / "pipes").mkdir()
        preparing(make_body(_attempt=2))
        found = {p.relative_to(preparing.opt_ml).as_posix() for p in preparing.opt_ml.rglob("*") if p.is_file()}
        assert {name for name in found if not name.startswith("input/config")} == {
            "checkpoints/last",
            "output/failure.room",
            "input/data/train/cat/1.jpg",
            "input/data/train/dog/1.jpg",
        }
        assert not (preparing.opt_ml.parent / "scratch").exists()
        assert not (preparing.opt_ml.parent / "pipes").exists()

    def test_a_job_that_only_has_the_same_name_leaves_nothing(self, preparing, make_body):
        preparing(make_body())
        (preparing.opt_ml / "checkpoints/last").write_text("of another job")
        preparing(make_body(CreationTime=1_800_000_000.0))
        assert list((preparing.opt_ml / "checkpoints").iterdir()) == []

    def test_the_store_is_left_as_it_is(self, preparing, make_body, objects):
        for attempt in (1, 2):
            preparing(make_body(_attempt=attempt))
        assert (objects.root / "bucket/train/cat/1.jpg").read_bytes() == b"cat"


class TestCheckpoints:
    def test_those_in_the_bucket_are_there_before_the_start(self, preparing, make_body, upload, objects):
        upload({"points/last.safetensors": b"saved", "points/a/b": b"x"})
        preparing(make_body(CheckpointConfig={"S3Uri": "s3://bucket/points/"}))
        found = preparing.opt_ml / "checkpoints/last.safetensors"
        assert found.read_bytes() == b"saved"
        assert not found.samefile(objects.root / "bucket/points/last.safetensors")
        assert (preparing.opt_ml / "checkpoints/a/b").is_file()

    def test_those_of_the_attempt_before_win(self, preparing, make_body, upload):
        upload({"points/last": b"old"})
        body = make_body(CheckpointConfig={"S3Uri": "s3://bucket/points/"})
        preparing(body)
        (preparing.opt_ml / "checkpoints/last").write_bytes(b"newer")
        preparing(body)
        assert (preparing.opt_ml / "checkpoints/last").read_bytes() == b"newer"

    def test_a_bucket_that_is_not_there(self, preparing, make_body):
        with pytest.raises(ServiceError, match="nowhere"):
            preparing(make_body(CheckpointConfig={"S3Uri": "s3://nowhere/points/"}))
        assert not (preparing.opt_ml / "checkpoints").exists()

    @pytest.mark.parametrize(
        ("path", "folder"), [("", "checkpoints"), ("/opt/ml/checkpoints/", "checkpoints"), ("/opt/ml/my/own", "my/own")]
    )
    def test_local_path(self, make_body, monkeypatch, path, folder):
        monkeypatch.setattr("clary.control.jobs.kinds.training.programs.resolve", lambda specification, rules=(): None)
        body = make_body(CheckpointConfig={"S3Uri": "s3://bucket/points", "LocalPath": path})
        assert checkpoint_folder(body, Path("/x")) == Path("/x") / folder

    @pytest.mark.parametrize("path", ["/checkpoints", "/opt/ml", "/opt/ml/../x", "/opt/ml/input/data", "/opt/ml/model"])
    def test_a_local_path_that_cannot_be_used(self, make_body, monkeypatch, path):
        monkeypatch.setattr("clary.control.jobs.kinds.training.programs.resolve", lambda specification, rules=(): None)
        with pytest.raises(CustomerError, match="LocalPath"):
            checkpoint_folder(make_body(CheckpointConfig={"S3Uri": "s3://b/p", "LocalPath": path}), Path("/x"))

    def test_no_checkpoint_config(self, make_body):
        assert checkpoint_folder(make_body(), Path("/x")) is None


class TestRefused:
    def test_a_hyperparameter_before_anything_is_fetched(self, preparing, make_body):
        with pytest.raises(HyperparameterError, match="'num_classes' hyperparameter"):
            preparing(make_body(HyperParameters={"num_classes": "0", "num_training_samples": "4"}))
        assert not preparing.opt_ml.exists()
        assert "ERROR" in preparing.lines[0]
        assert "Customer Error: The value '0' is not valid" in preparing.lines[0]

    def test_an_output_bucket_that_is_not_there(self, preparing, make_body):
        with pytest.raises(ServiceError, match="nowhere"):
            preparing(make_body(OutputDataConfig={"S3OutputPath": "s3://nowhere/out"}))

    def test_an_image(self, preparing, make_body):
        body = make_body(AlgorithmSpecification={"TrainingImage": "nobody/knows:1", "TrainingInputMode": "File"})
        with pytest.raises(CustomerError, match="nobody/knows:1"):
            preparing(body)

    def test_an_empty_channel(self, preparing, make_body, make_channel):
        with pytest.raises(CustomerError, match="the gone channel holds no object"):
            preparing(make_body(InputDataConfig=[make_channel("gone", "s3://bucket/gone/")]))


def test_a_server_that_listens_everywhere_is_called_on_this_machine(make_body, settings):
    found = environment(make_body(), replace(settings, host="0.0.0.0"))
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4747"
