"""A host's folder before its program starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clary.control.jobs import scripts
from clary.control.jobs.kinds.processing import programs
from clary.control.jobs.kinds.processing.kind import KIND
from clary.control.jobs.kinds.processing.programs import ImageCommand
from clary.control.jobs.launch import Command, Launch, Script
from clary.errors import CustomerError, UsageError
from clary.toolkit.plan import Plan

from .conftest import cluster, given, wanted


def prepared(job: Any, host: str = "algo-1") -> Launch:
    log = job.context.logs.writer(job.group, job.stream(host))
    try:
        return KIND.prepare(job, host, log)
    finally:
        log.close()


def below(folder: Any) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def plan_of(launch: Launch) -> Plan:
    assert isinstance(launch.program, Script)
    assert launch.program.module == "clary.toolkit.process"
    return Plan.read(launch.folder / "script.json")


def test_inputs_lie_where_the_request_says_and_output_folders_are_there(make_job, objects):
    launch = prepared(make_job())
    assert below(launch.opt_ml / "processing") == ["input/a.csv", "input/b/c.csv", "input/code/prep.py"]
    assert (launch.opt_ml / "processing/train").is_dir()
    assert (launch.opt_ml / "output").is_dir()
    # One shield for both: the inner one is behind it as well. What processors unpack into is theirs alone.
    assert launch.inputs == (launch.opt_ml / "processing/input",)
    assert (launch.opt_ml / "processing/input/a.csv").samefile(objects.root / "bucket/data/a.csv")
    assert not (launch.opt_ml / "processing/input/code/prep.py").samefile(objects.root / "bucket/code/prep.py")
    assert (launch.log.parent.name, launch.namespace, launch.max_run) == ("job", True, 86400)


def test_the_plan(make_job):
    plan = plan_of(prepared(make_job(Environment={"STAGE": "test"})))
    assert plan.command == ("python3", "/opt/ml/processing/input/code/prep.py", "--ratio", "0.2")
    assert (plan.framework, plan.version, plan.variables) == ("scikit-learn", "1.2-1", {"STAGE": "test"})
    assert plan.emptied == ("processing/train",)
    assert plan.link is None


def test_configuration_files(make_job):
    opt_ml = prepared(make_job(Environment={"A": "b"}, StoppingCondition={"MaxRuntimeInSeconds": 60})).opt_ml
    told = json.loads((opt_ml / "config/processingjobconfig.json").read_text())
    assert told["ProcessingJobArn"] == "arn:aws:sagemaker:eu-west-1:000000000000:processing-job/job"
    assert told["AppSpecification"]["ContainerArguments"] == ["--ratio", "0.2"]
    assert told["ProcessingInputs"][1]["S3Input"]["LocalPath"] == "/opt/ml/processing/input/code"
    assert told["ProcessingOutputConfig"]["Outputs"][0]["OutputName"] == "train"
    assert (told["Environment"], told["StoppingCondition"]) == ({"A": "b"}, {"MaxRuntimeInSeconds": 60})
    assert json.loads((opt_ml / "config/resourceconfig.json").read_text()) == {
        "current_host": "algo-1",
        "hosts": ["algo-1"],
        "current_instance_type": "ml.m5.xlarge",
        "network_interface_name": "lo",
    }


@pytest.mark.parametrize("at", ["/opt/ml/processing/input", "/opt/ml/processing", "/opt/ml/processing/input/b"])
def test_an_input_that_is_also_an_output_is_a_copy(make_job, objects, at):
    launch = prepared(make_job(outputs=[wanted("same", "s3://bucket/out", at)]))
    assert launch.inputs == ()
    assert not (launch.opt_ml / "processing/input/a.csv").samefile(objects.root / "bucket/data/a.csv")
    # Nobody could tell what an attempt before has left from what is given.
    assert plan_of(launch).emptied == ()


def test_a_second_call_starts_over(make_job):
    job = make_job()
    launch = prepared(job)
    (launch.opt_ml / "processing/train/left").write_text("left")
    (launch.opt_ml / "processing/elsewhere").mkdir()
    assert below(prepared(job).opt_ml / "processing") == ["input/a.csv", "input/b/c.csv", "input/code/prep.py"]


def test_a_manifest_and_what_the_application_manages_itself(make_job, upload):
    upload({"list": json.dumps([{"prefix": "s3://bucket/data/"}, "b/c.csv"]).encode()})
    own = given("own", "s3://bucket/never", "/opt/ml/processing/own") | {"AppManaged": True}
    listed = given("listed", "s3://bucket/list", "/opt/ml/processing/listed", S3DataType="ManifestFile")
    launch = prepared(make_job(ProcessingInputs=[own, listed]))
    assert below(launch.opt_ml / "processing") == ["listed/b/c.csv"]


def test_a_command_of_clary_toml_gets_the_request_s_variables(make_job, monkeypatch):
    monkeypatch.setattr(programs, "resolve", lambda application, rules=(): ImageCommand(("tool",), mapped=True))
    launch = prepared(make_job(Environment={"A": "b"}))
    assert (launch.program, launch.given) == (Command(("tool",)), {"A": "b"})


def test_an_input_that_is_gone_by_then(make_job, objects):
    job = make_job()
    objects.delete("bucket", "code/prep.py")
    with pytest.raises(CustomerError, match="code channel holds no object"):
        prepared(job)


class TestSeveralHosts:
    @pytest.mark.parametrize("hosts", range(1, 8))
    def test_objects_are_dealt_out(self, make_job, upload, hosts):
        upload({f"many/{number}": b"x" for number in range(5)})
        shared = given("many", "s3://bucket/many/", "/opt/ml/processing/many", S3DataDistributionType="ShardedByS3Key")
        job = make_job(ProcessingInputs=[shared], ProcessingResources=cluster(hosts))
        names = KIND.hosts(job.body)
        launches = [prepared(job, host) for host in names]
        found = [below(launch.opt_ml / "processing/many") for launch in launches]
        assert sorted(name for names_of in found for name in names_of) == ["0", "1", "2", "3", "4"]
        assert max(map(len, found)) - min(map(len, found)) <= 1
        for host, launch in zip(names, launches, strict=True):
            told = json.loads((launch.opt_ml / "config/resourceconfig.json").read_text())
            assert (told["current_host"], told["hosts"]) == (host, sorted(names))
        assert len({launch.folder for launch in launches}) == hosts

    def test_one_without_an_object_is_told(self, make_job, lines):
        shared = given("few", "s3://bucket/data/b", "/opt/ml/processing/few", S3DataDistributionType="ShardedByS3Key")
        job = make_job(ProcessingInputs=[shared], ProcessingResources=cluster(2))
        assert below(prepared(job, "algo-1").opt_ml / "processing/few") == ["c.csv"]
        assert lines(job) == []
        assert below(prepared(job, "algo-2").opt_ml / "processing/few") == []
        assert any("few has fewer objects than there are hosts" in line for line in lines(job, "algo-2"))

    def test_without_namespaces_they_are_refused(self, make_job):
        with pytest.raises(UsageError, match=r"^/opt/ml: several hosts.*; set InstanceCount to 1$"):
            prepared(make_job(isolated=False, ProcessingResources=cluster(2)))


class TestWithoutNamespaces:
    def test_links_where_they_are_permitted_and_copies_behind_them(self, make_job, monkeypatch, objects, lines):
        monkeypatch.setattr(scripts, "can_link", lambda: True)
        job = make_job(isolated=False)
        launch = prepared(job)
        assert str(plan_of(launch).link) == "/opt/ml"
        assert launch.inputs == ()
        assert not (launch.opt_ml / "processing/input/a.csv").samefile(objects.root / "bucket/data/a.csv")
        assert any("one script at a time" in line for line in lines(job))

    def test_else_refused_with_the_command_that_permits_them(self, make_job, monkeypatch):
        monkeypatch.setattr(scripts, "can_link", lambda: False)
        with pytest.raises(UsageError, match="sudo install -d"):
            prepared(make_job(isolated=False))
