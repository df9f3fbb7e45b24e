"""Jobs of a user's own script: source, plan, process, FailureReason and log."""

from __future__ import annotations

import asyncio
import io
import json
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.control.jobs.world import LocalWorld

from clary.control.configuration import (
    Configuration,
    ImageRule,
    InstalledEnvironment,
    NamedEnvironment,
    RequirementsEnvironment,
)
from clary.control.images import Script
from clary.control.jobs import scripts as jobs_scripts
from clary.control.jobs.kinds.training import scripts
from clary.control.jobs.kinds.training.scripts import check, plan_script
from clary.control.jobs.launchers.local.launcher import LocalLauncher
from clary.errors import CustomerError, UsageError
from clary.toolkit.plan import Plan
from clary.vision.base.jobdir import JobDir

PYTORCH = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310"
SOURCE = "s3://bucket/source/sourcedir.tar.gz"


def archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def members(image: str = PYTORCH, **hyperparameters: Any) -> dict[str, Any]:
    """Of a request as SDK v2's estimators make it."""
    given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": SOURCE, **hyperparameters}
    return {
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "HyperParameters": {name: json.dumps(value) for name, value in given.items()},
    }


class TestPlan:
    @pytest.fixture
    def plan(self, settings, objects, make_body, tmp_path):
        """``plan(program, **members)``: the plan of a job, and its tree."""

        def make(program: Script, isolated: bool = True, **given: Any) -> tuple[Plan, JobDir]:
            folder = tmp_path / "host"
            folder.mkdir(exist_ok=True)
            job = JobDir.create(folder / "opt_ml", {}, {})
            body, where = make_body(**given), {"folder": folder, "job": job}
            command = plan_script(program, body, **where, settings=settings, objects=objects, isolated=isolated)
            assert command.plan == str(folder / "script.json")
            return Plan.read(folder / "script.json"), job

        return make

    def test_the_source_lies_in_code_and_the_request_stays_with_the_plan(self, plan, upload, settings):
        upload({"source/sourcedir.tar.gz": archive({"train.py": "print(1)\n"})})
        made, job = plan(Script("pytorch", "training", "2.1", "py310", "cpu"), **members(), Environment={"SECRET": "x"})
        assert (job.root / "code" / "train.py").read_text() == "print(1)\n"
        assert made == Plan(
            image=PYTORCH,
            layer=job.root.parent / "environment",
            environments=settings.environments_root,
            program="train.py",
            source=SOURCE,
            framework="pytorch",
            version="2.1",
            python_version="py310",
            variables={"SECRET": "x"},
        )
        assert stat.S_IMODE((job.root.parent / "script.json").stat().st_mode) == 0o600

    def test_a_source_in_a_channel(self, plan, tmp_path):
        # As SDK v2 sends it under network isolation.
        place = "/opt/ml/input/data/code/sourcedir.tar.gz"
        channel = tmp_path / "host" / "opt_ml" / "input" / "data" / "code"
        channel.mkdir(parents=True)
        (channel / "sourcedir.tar.gz").write_bytes(archive({"train.py": "print(1)\n"}))
        made, job = plan(Script("pytorch", "training", "", "", ""), **members(sagemaker_submit_directory=place))
        assert (job.root / "code" / "train.py").read_text() == "print(1)\n"
        assert made.source == place

    def test_a_source_that_is_nowhere(self, plan):
        place = "/opt/ml/input/data/code/sourcedir.tar.gz"
        with pytest.raises(CustomerError, match="is not there; name an S3 URI"):
            plan(Script("pytorch", "training", "", "", ""), **members(sagemaker_submit_directory=place))
        with pytest.raises(CustomerError, match="is not there; name an S3 URI"):
            plan(Script("pytorch", "training", "", "", ""), **members(sagemaker_submit_directory="/etc/passwd"))

    def test_code_of_local_mode_is_read_where_it_lies(self, plan, tmp_path):
        mine = tmp_path / "mine"
        (mine / "net" / "empty").mkdir(parents=True)
        (mine / "train.py").write_text("import net.parts\n")
        (mine / "net" / "parts.py").write_text("SIZE = 1\n")
        (mine / "run.sh").write_text("#!/bin/sh\n")
        (mine / "run.sh").chmod(0o700)
        (mine / "again.py").symlink_to("train.py")
        (mine / "secret").symlink_to("/etc/passwd")
        (mine / "root").symlink_to("/")
        for source in (f"file://{mine}", f"file://{mine}/"):  # the second attempt finds the first one's
            made, job = plan(Script("pytorch", "training", "", "", ""), **members(sagemaker_submit_directory=source))
            code = job.root / "code"
            there = sorted(path.relative_to(code).as_posix() for path in code.rglob("*"))
            assert there == ["again.py", "net", "net/empty", "net/parts.py", "run.sh", "train.py"]
            assert stat.S_IMODE((code / "run.sh").stat().st_mode) == 0o755
            assert made.source == source
        (code / "train.py").write_text("changed by the job")
        assert (mine / "train.py").read_text() == "import net.parts\n"

    def test_an_archive_of_local_mode(self, plan, tmp_path):
        (tmp_path / "code.tar.gz").write_bytes(archive({"train.py": "print(1)\n"}))
        source = f"file://{tmp_path}/code.tar.gz"
        _, job = plan(Script("pytorch", "training", "", "", ""), **members(sagemaker_submit_directory=source))
        assert (job.root / "code" / "train.py").read_text() == "print(1)\n"

    def test_code_of_local_mode_that_cannot_be_had(self, plan, tmp_path, monkeypatch):
        program, gone = Script("pytorch", "training", "", "", ""), f"file://{tmp_path}/gone"
        with pytest.raises(CustomerError, match=f"^{gone}: the source is not there; name a folder of this machine$"):
            plan(program, **members(sagemaker_submit_directory=gone))
        monkeypatch.setattr(scripts, "LOCAL_CODE", 1 << 20)
        (tmp_path / "data").write_bytes(bytes(1 << 21))
        with pytest.raises(CustomerError, match="holds more than 1 MiB; name a folder of the code alone as source_dir"):
            plan(program, **members(sagemaker_submit_directory=f"file://{tmp_path}"))

    def test_code_of_this_machine_is_for_local_mode_alone(self):
        given = members(sagemaker_submit_directory="file:///mine")
        check(Script("pytorch", "training", "", "", ""), given | {"ResourceConfig": {"InstanceType": "local"}})
        with pytest.raises(CustomerError, match=r"^file:///mine is a file of this machine, which only the instance"):
            check(
                Script("pytorch", "training", "", "", ""), given | {"ResourceConfig": {"InstanceType": "ml.m5.large"}}
            )

    def test_variables_stand_over_hyperparameters(self, plan, upload):
        upload({"other.tar.gz": archive({"mine.py": ""})})
        given = {"SAGEMAKER_PROGRAM": "mine.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/other.tar.gz"}
        made, job = plan(Script("pytorch", "training", "", "", ""), **members(), Environment=given)
        assert (made.program, made.source) == ("mine.py", "s3://bucket/other.tar.gz")
        assert (job.root / "code" / "mine.py").exists()

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            (None, f"{SOURCE}: the source archive does not exist; submit the job again, which uploads the source"),
            (b"text", f"{SOURCE}: the source archive is not a tar archive or is damaged"),
            (
                archive({"main.py": ""}),
                f"{SOURCE}: the entry point train.py is not in the source archive; did you mean main.py?",
            ),
            (archive({}), "is not in the source archive; it is empty"),
        ],
    )
    def test_a_source_that_cannot_be_used(self, plan, upload, files, said):
        if files is not None:
            upload({"source/sourcedir.tar.gz": files})
        with pytest.raises(CustomerError) as refused:
            plan(Script("pytorch", "training", "", "", ""), **members())
        assert said in str(refused.value)

    def test_environments_of_clary_toml(self, plan, upload, settings, monkeypatch):
        upload({"source/sourcedir.tar.gz": archive({"train.py": ""})})
        named: dict[str, NamedEnvironment] = {
            "old": InstalledEnvironment(Path("/venv/bin/python")),
            "tf": RequirementsEnvironment(Path("/tf.txt")),
        }
        object.__setattr__(settings, "configuration", Configuration(environments=named))
        program = Script("", "training", "", "", "")
        assert plan(program, **members())[0].complete
        old = plan(replace(program, environment="old"), **members())[0]
        assert (old.interpreter, old.requirements, old.complete) == (Path("/venv/bin/python"), None, False)
        made = plan(replace(program, environment="tf"), **members())[0]
        assert (made.interpreter, made.requirements) == (None, Path("/tf.txt"))
        ours = plan(replace(program, environment="clary"), **members())[0]
        assert (ours.interpreter, ours.requirements, ours.complete) == (None, None, False)

    def test_without_namespaces_it_is_linked_or_refused_before_anything_runs(self, plan, upload, monkeypatch):
        upload({"source/sourcedir.tar.gz": archive({"train.py": ""})})
        program = Script("pytorch", "training", "", "", "")
        monkeypatch.setattr(jobs_scripts, "can_link", lambda: True)
        assert plan(program, isolated=False, **members())[0].link == Path("/opt/ml")
        monkeypatch.setattr(jobs_scripts, "can_link", lambda: False)
        with pytest.raises(UsageError, match=r"^/opt/ml: scripts need it.*: sudo install -d -o \w+ /opt/ml$"):
            plan(program, isolated=False, **members())
        assert plan(program, isolated=True, **members())[0].link is None


def test_a_request_that_names_no_script(make_body):
    body = make_body(AlgorithmSpecification={"TrainingImage": PYTORCH})
    with pytest.raises(CustomerError, match=r"runs a script, and the request names none.*give entry_point"):
        check(Script("pytorch", "training", "", "", ""), body)
    check(Script("pytorch", "training", "", "", "", ("/bin/bash",)), body)
    check(Script("pytorch", "training", "", "", ""), body | {"Environment": {"SAGEMAKER_PROGRAM": "train.py"}})


@pytest.fixture
def script_world(settings, objects, upload, make_body) -> Iterator[LocalWorld]:
    """Jobs whose programs are those of their images."""
    upload({"train/a.txt": b"data\n"})
    rules = (
        ImageRule("mine:*", "clary"),
        ImageRule("shell:*", command=("/bin/sh", "-c", 'echo "$0 runs"; ls $SAGEMAKER_BASE_DIR; echo > model/x')),
    )
    found = LocalWorld(
        replace(settings, configuration=Configuration(rules)), objects, make_body, LocalLauncher(settings)
    )
    yield found
    found.close()


def run(world: LocalWorld, **jobs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Run jobs to their ends; what DescribeTrainingJob tells of each."""

    async def all_of_them() -> None:
        async with world.gateway():
            for name, given in jobs.items():
                world.submit(name, **given)
            await world.ended(*jobs)

    asyncio.run(all_of_them())
    return {name: world.record(name).body for name in jobs}


TRAINING = """
import os, sys
print("loss=0.5")
print("reads", open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.txt")).read().strip(), os.environ["SECRET"])
print("from", os.path.dirname(__file__), os.environ["SM_MODEL_DIR"])
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.pt"), "w").write("weights")
open("/opt/ml/checkpoints/last", "w").write("1") if os.path.exists("/opt/ml/checkpoints") else None
"""


@pytest.mark.slow
def test_a_script_from_its_archive_to_its_model(script_world, upload):
    upload({"source/sourcedir.tar.gz": archive({"train.py": TRAINING})})
    given = members() | {"Environment": {"SECRET": "xyzzy"}}
    told = run(script_world, first=given, mine=members("registry.mine/mine:1") | {"Environment": {"SECRET": "s"}})
    for name, job in told.items():
        assert job["TrainingJobStatus"] == "Completed", script_world.lines(name)
        model = script_world.objects.root / "bucket" / "out" / name / "output" / "model.tar.gz"
        with tarfile.open(model) as packed:
            assert packed.getnames() == ["model.pt"]
    lines = script_world.lines("first")
    assert "reads data xyzzy" in lines
    # The platform's own processes, whose environment others can see, were not told the request's variables.
    assert "xyzzy" not in (script_world.folder("first") / "launch.json").read_text()
    # What was only for the run is gone.
    assert not (script_world.folder("first") / "environment").exists()
    assert any(line.endswith("Reporting training SUCCESS") for line in lines)


@pytest.mark.slow
def test_every_failure_has_its_line_in_reason_and_log(script_world, upload):
    scripts = {
        "raises": ("raise ValueError('no pictures')\n", 'ErrorMessage "ValueError: no pictures"'),
        "syntax": ("print 'x'\n", 'ExtraInfo "mend line 1 of train.py; it is read by Python 3.'),
        "absent": ("import nothing_of_this_name\n", "add the line `nothing-of-this-name` to a file requirements.txt"),
        "killed": ("import os\nos.kill(os.getpid(), 9)\n", "out of memory: use a smaller batch"),
        "code": ("raise SystemExit(2)\n", "ExitCode 2"),
    }
    upload({f"source/{name}.tar.gz": archive({"train.py": script}) for name, (script, _) in scripts.items()})
    upload({"source/empty.tar.gz": archive({"main.py": ""})})
    source = "s3://bucket/source"
    jobs = {name: members(sagemaker_submit_directory=f"{source}/{name}.tar.gz") for name in [*scripts, "empty"]}
    told = run(script_world, **jobs)
    for name, (_, said) in scripts.items():
        reason = told[name]["FailureReason"]
        assert reason.startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode "), reason
        assert said in reason
        assert reason.endswith(f"exit code: {137 if name == 'killed' else 1}"), reason
        assert said in "\n".join(script_world.lines(name))
    reason = told["empty"]["FailureReason"]
    assert reason == (
        f"ClientError: {source}/empty.tar.gz: the entry point train.py is not in the source archive; "
        "did you mean main.py?"
    )
    assert reason in script_world.lines("empty")


@pytest.mark.slow
def test_a_mapped_command_is_started_with_train(script_world):
    told = run(script_world, one={"AlgorithmSpecification": {"TrainingImage": "shell:1", "TrainingInputMode": "File"}})
    assert told["one"]["TrainingJobStatus"] == "Completed", script_world.lines("one")
    assert "train runs" in script_world.lines("one")


@pytest.mark.slow
def test_a_stop_is_the_scripts_to_answer(script_world, upload):
    script = (
        "import os, signal, sys, time\n"
        "def end(*_):\n    open(os.environ['SM_MODEL_DIR'] + '/half', 'w').close()\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up')\nwhile True:\n    time.sleep(60)\n"
    )
    upload({"source/sourcedir.tar.gz": archive({"train.py": script})})

    async def stopped() -> None:
        async with script_world.gateway():
            script_world.submit("one", **members())
            await script_world.running("one")
            script_world.stop("one")
            assert await script_world.ended("one") == ["Stopped"]

    asyncio.run(stopped())
    with tarfile.open(script_world.objects.root / "bucket" / "out" / "one" / "output" / "model.tar.gz") as packed:
        assert packed.getnames() == ["half"]
