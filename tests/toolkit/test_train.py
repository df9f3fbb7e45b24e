"""Scripts under the toolkit: what they are told, what becomes of their ends."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from clary.vision.base.cores import cores

from .conftest import Ran

# As SageMaker's own documentation has it: everything is read from the environment or the command line.
TELLING = """
import json, os, sys
told = {"argv": sys.argv, "cwd": os.getcwd(), "environ": dict(os.environ), "path": sys.path, "prefix": sys.prefix}
with open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w") as file:
    json.dump(told, file)
"""
HYPERPARAMETERS = {
    "lr": 0.01,
    "b": 3,
    "flag": True,
    "none": None,
    "name": "a b",
    "sizes": [1, 2],
    "cfg": {"a": 1, "b": "x"},
    "kebab-case": "k",
    "sagemaker_container_log_level": 20,
    "sagemaker_job_name": "prepared",
    "sagemaker_region": "eu-west-1",
    "sagemaker_something_else": 7,
}
CHANNELS = ("train", "my-channel", "val.2")


@pytest.fixture(scope="module")
def ran(scripts) -> Ran:
    given = {"MINE": "1", "SM_MODEL_DIR": "/elsewhere", "NCCL_DEBUG": "INFO", "SAGEMAKER_BASE_DIR": "/elsewhere"}
    found: Ran = scripts(
        {"train.py": TELLING}, HYPERPARAMETERS, channels=CHANNELS, given=given, framework="pytorch", version="2.1"
    )
    assert found.code == 0, found.log
    return found


@pytest.fixture(scope="module")
def told(ran) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ran.job.model / "told.json").read_text())
    return read


ARGUMENTS = [
    *("-b", "3", "--cfg", "a=1,b=x", "--flag", "True", "--kebab-case", "k", "--lr", "0.01", "--name", "a b"),
    *("--none", "", "--sizes", "[1, 2]"),
]
RESOURCES = {
    "current_host": "algo-1",
    "current_instance_type": "local",
    "current_group_name": "homogeneousCluster",
    "hosts": ["algo-1"],
    "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["algo-1"]}],
    "network_interface_name": "lo",
}
# Each row of SageMaker's table, as a script reads it; the tree's root is OPT_ML here.
VARIABLES: dict[str, Any] = {
    "SM_MODEL_DIR": "OPT_ML/model",
    "SM_OUTPUT_DATA_DIR": "OPT_ML/output/data",
    "SM_OUTPUT_DIR": "OPT_ML/output",
    "SM_OUTPUT_INTERMEDIATE_DIR": "OPT_ML/output/intermediate",
    "SM_INPUT_DIR": "OPT_ML/input",
    "SM_INPUT_CONFIG_DIR": "OPT_ML/input/config",
    "SM_CHANNEL_TRAIN": "OPT_ML/input/data/train",
    "SM_CHANNEL_MY-CHANNEL": "OPT_ML/input/data/my-channel",
    "SM_CHANNEL_VAL.2": "OPT_ML/input/data/val.2",
    "SM_CHANNELS": '["my-channel","train","val.2"]',
    "SM_HPS": (
        '{"b":3,"cfg":{"a":1,"b":"x"},"flag":true,"kebab-case":"k","lr":0.01,"name":"a b","none":null,"sizes":[1,2]}'
    ),
    "SM_HP_LR": "0.01",
    "SM_HP_B": "3",
    "SM_HP_FLAG": "true",
    "SM_HP_NONE": "",
    "SM_HP_NAME": "a b",
    "SM_HP_SIZES": "[1,2]",
    "SM_HP_CFG": '{"a":1,"b":"x"}',
    "SM_HP_KEBAB-CASE": "k",
    "SM_USER_ARGS": json.dumps(ARGUMENTS, separators=(",", ":")),
    "SM_USER_ENTRY_POINT": "train.py",
    "SM_MODULE_NAME": "train",
    "SM_MODULE_DIR": "s3://b/sourcedir.tar.gz",
    "SM_HOSTS": '["algo-1"]',
    "SM_CURRENT_HOST": "algo-1",
    "SM_NETWORK_INTERFACE_NAME": "lo",
    "SM_NUM_CPUS": str(cores()),
    "SM_NUM_NEURONS": "0",
    "SM_CURRENT_INSTANCE_TYPE": "local",
    "SM_CURRENT_INSTANCE_GROUP": "homogeneousCluster",
    "SM_CURRENT_INSTANCE_GROUP_HOSTS": '["algo-1"]',
    "SM_INSTANCE_GROUPS": '["homogeneousCluster"]',
    "SM_INSTANCE_GROUPS_DICT": json.dumps(
        {"homogeneousCluster": RESOURCES["instance_groups"][0]},
        sort_keys=True,
        separators=(",", ":"),
    ),
    "SM_DISTRIBUTION_INSTANCE_GROUPS": "[]",
    "SM_IS_HETERO": "false",
    "SM_RESOURCE_CONFIG": json.dumps(RESOURCES, sort_keys=True, separators=(",", ":")),
    "SM_FRAMEWORK_PARAMS": '{"sagemaker_something_else":7}',
    "SM_FRAMEWORK_MODULE": "sagemaker_pytorch_container.training:main",
    "SM_LOG_LEVEL": "20",
    # Beside the table: those of the job, and of PyTorch's image.
    "SAGEMAKER_JOB_NAME": "job",
    "SAGEMAKER_REGION": "eu-west-1",
    "CURRENT_HOST": "algo-1",
    "TRAINING_JOB_NAME": "job",
    "MASTER_ADDR": "algo-1",
    "MASTER_PORT": "7777",
    "NCCL_SOCKET_IFNAME": "lo",
    "NCCL_IB_DISABLE": "1",
    # The request's own; of the image's they stand over, of the toolkit's they do not.
    "MINE": "1",
    "NCCL_DEBUG": "INFO",
}


@pytest.mark.parametrize(("name", "expected"), VARIABLES.items())
def test_a_variable(told, ran, name, expected):
    assert told["environ"][name] == expected.replace("OPT_ML", str(ran.job.root))


def test_the_object_of_all_of_them(told, ran):
    found = json.loads(told["environ"]["SM_TRAINING_ENV"])
    assert set(found) == {
        *("additional_framework_parameters", "channel_input_dirs", "current_host", "current_instance_group"),
        *("current_instance_group_hosts", "current_instance_type", "distribution_hosts"),
        *("distribution_instance_groups", "framework_module", "hosts", "hyperparameters", "input_config_dir"),
        *("input_data_config", "input_dir", "instance_groups", "instance_groups_dict", "is_hetero", "is_master"),
        *("is_modelparallel_enabled", "is_smddprun_installed", "is_smddpmprun_installed", "job_name", "log_level"),
        *("master_hostname", "model_dir", "module_dir", "module_name", "network_interface_name", "num_cpus"),
        *("num_gpus", "num_neurons", "output_data_dir", "output_dir", "output_intermediate_dir", "resource_config"),
        *("topology", "user_entry_point"),
    }
    assert found["hyperparameters"]["cfg"] == {"a": 1, "b": "x"}
    assert found["channel_input_dirs"]["my-channel"] == str(ran.job.data / "my-channel")
    assert found["is_master"] is True
    assert found["input_data_config"] == json.loads(told["environ"]["SM_INPUT_DATA_CONFIG"])
    assert set(found["input_data_config"]) == set(CHANNELS)
    # Only with a topology in resourceconfig.json.
    assert "SM_TOPOLOGY" not in told["environ"]
    assert int(told["environ"]["SM_NUM_GPUS"]) == found["num_gpus"]


def test_arguments_and_where_the_script_starts(told, ran):
    assert told["argv"] == ["train.py", *ARGUMENTS]
    code = str(ran.job.root / "code")
    assert told["cwd"] == code
    assert told["environ"]["PYTHONPATH"].split(os.pathsep)[0] == code
    assert told["environ"]["SAGEMAKER_BASE_DIR"] == str(ran.job.root)
    # Its own environment: what it installs itself is gone with the job.
    assert told["prefix"] != sys.prefix


def test_the_lines_that_people_look_for(ran):
    steps = [
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} sagemaker-training-toolkit INFO     Imported framework sagemaker_py",
        r"pytorch 2\.1 was asked for; this is torch \d+\.\d+.* on Python 3\.\d+",
        r"sagemaker-training-toolkit INFO     Invoking user script$",
        r"^Training Env:$",
        r'^    "additional_framework_parameters": \{$',
        r"^Environment variables:$",
        r"^SM_HPS=\{",
        r"^PYTHONPATH=",
        r"^Invoking script with the following command:$",
        r"python -- train\.py -b 3 --cfg a=1,b=x .* --name 'a b' ",
        r"sagemaker-training-toolkit INFO     Reporting training SUCCESS$",
    ]
    place = 0
    for step in steps:
        found = re.compile(step, re.MULTILINE).search(ran.log, place)
        assert found, step
        place = found.end()
    assert (ran.job.output / "success").exists()


def test_lines_of_both_streams_stay_in_order(run_script):
    script = "import sys\nfor i in range(300):\n    print(i, file=(sys.stdout, sys.stderr)[i % 2])\n"
    script += "print('no end', end='')\n"
    found = run_script({"train.py": script})
    lines = [line for line in found.log.splitlines() if re.fullmatch(r"\d+|no end.*", line)]
    assert [line for line in lines if line.isdecimal()] == [str(i) for i in range(300)]
    assert lines[-1].startswith("no end")


FAILING = {
    "an exception": (
        "import argparse\nprint('loading')\nraise ValueError('no \"pictures\"')\n",
        *('ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: no "pictures""\nCommand "', 1),
    ),
    "a code of its own": ("import sys\nprint('bad data')\nsys.exit(3)\n", 'ExitCode 3\nErrorMessage "bad data"', 1),
    "argparse": (
        "import argparse\nargparse.ArgumentParser().parse_args()\n",
        *('ExitCode 2\nErrorMessage "train.py: error: unrecognized arguments: --lr 0.1"', 1),
    ),
    "a syntax error": ("x = 1\nprint 'epoch'\n", 'ExtraInfo "mend line 2 of train.py; it is read by Python 3.', 1),
    "a missing module": ("import skimage_of_mine\n", "add the line `skimage-of-mine` to a file requirements.txt", 1),
    "killed": ("import os\nos.kill(os.getpid(), 9)\n", "ExitCode 137\n", 137),
}


@pytest.mark.parametrize(("script", "note", "code"), FAILING.values(), ids=FAILING)
def test_a_script_that_fails(run_script, script, note, code):
    found = run_script({"train.py": script}, {"lr": 0.1})
    assert found.code == code, found.log
    assert note in found.failure
    # Who reads the log reads the same.
    assert "sagemaker-training-toolkit ERROR    Reporting training FAILURE" in found.log
    assert found.failure in found.log
    assert not (found.job.output / "success").exists()


def test_a_note_that_the_script_left_stays(run_script):
    script = "import os\nopen(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('mine')\nraise SystemExit(1)\n"
    assert run_script({"train.py": script}).failure == "mine"


def test_nothing_in_the_model_folder_is_said(run_script):
    found = run_script({"train.py": "print('done')\n"})
    assert found.code == 0
    assert "No model artifact is saved: there is nothing in" in found.log


def test_an_entry_point_that_is_not_there(run_script):
    found = run_script({"trian.py": "", "data.py": ""})
    assert found.code == 1
    assert found.failure == (
        "ClientError: s3://b/sourcedir.tar.gz: the entry point train.py is not in the source archive; "
        "did you mean trian.py?"
    )
    assert found.failure in found.log


def test_a_shell_script(run_script):
    script = 'set -e\necho "$# $2 in $(pwd)"\npython -c "import sys; print(sys.prefix)"\necho $SM_HP_NAME > x\n'
    found = run_script({"run.sh": script}, {"name": "a b"}, program="run.sh")
    assert found.code == 0, found.log
    assert f"2 a b in {found.job.root / 'code'}" in found.log
    # `python` is the job's own.
    assert str(found.job.root.parent / "environment") in found.log
    assert "/bin/sh -c './run.sh --name '" in found.log
    failed = run_script({"run.sh": "nothing-of-this-name\n"}, program="run.sh")
    assert "ExitCode 127" in failed.failure
    assert "nothing-of-this-name: not found" in failed.failure


@pytest.mark.slow  # pip builds a wheel
def test_a_package_is_run_as_a_module(run_script):
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "setuptools.build_meta"\n'
    source = {
        "setup.py": "from setuptools import setup\nsetup(name='mine', version='1', packages=['mine'])\n",
        "pyproject.toml": pyproject,
        "mine/__init__.py": "",
        "mine/train.py": "import mine, sys\nprint('module', __name__, sys.argv[1:])\n",
    }
    found = run_script(source, {"lr": 0.1}, program="mine/train.py", variables={"PIP_NO_BUILD_ISOLATION": "0"})
    assert found.code == 0, found.log
    assert "module __main__ ['--lr', '0.1']" in found.log
    assert re.search(r"python -m mine\.train --lr 0\.1", found.log)


REPORTING = "import {name}, sys\nprint('version', {name}.version, {name}.__file__)\n"


@pytest.mark.slow  # pip takes seconds
class TestRequirements:
    def test_they_are_installed_once(self, run_script):
        run_script.wheel("tiny_of_ours", "1.0", "version = 1\n")
        source = {"train.py": REPORTING.format(name="tiny_of_ours"), "requirements.txt": "tiny_of_ours==1.0\n"}
        first, second = run_script(source), run_script(source)
        assert first.code == second.code == 0, first.log
        assert "Installing dependencies from requirements.txt:" in first.log
        assert "Successfully installed tiny_of_ours-1.0" in first.log.replace("-of-", "_of_").replace("tiny-", "tiny_")
        assert "Successfully installed" not in second.log
        assert "requirements.txt:\nInstalled already, for an earlier job or endpoint\n" in second.log
        places = [re.findall(r"^version 1 (.*)$", one.log, re.MULTILINE) for one in (first, second)]
        assert places[0] == places[1]
        assert Path(places[0][0]).is_relative_to(run_script.root / "environments")

    def test_another_version_of_what_is_here_hides_it(self, run_script):
        run_script.wheel("tqdm", "999.0", "version = 999\n")
        source = {"train.py": REPORTING.format(name="tqdm"), "requirements.txt": "tqdm==999.0\n"}
        found = run_script(source)
        assert re.search(r"^version 999 ", found.log, re.MULTILINE), found.log
        # Ours is as it was.
        ours = find_spec("tqdm")
        assert ours is not None
        assert Path(str(ours.origin)).is_relative_to(sys.prefix)

    def test_of_the_sources_own_files(self, run_script):
        run_script.wheel("tiny_of_theirs", "1.0", "version = 1\n")
        wheel = run_script.wheels / "tiny_of_theirs-1.0-py3-none-any.whl"
        source = {"train.py": REPORTING.format(name="tiny_of_theirs"), "requirements.txt": f"{wheel}\n"}
        found = run_script(source)
        (place,) = re.findall(r"^version 1 (.*)$", found.log, re.MULTILINE)
        assert Path(place).is_relative_to(found.job.root.parent / "environment")
        assert not (run_script.root / "environments").exists()

    def test_what_cannot_be_had_names_the_line(self, run_script):
        source = {"train.py": "", "requirements.txt": "# ours\nnumpy\nnothing_of_this_name==3.1\n"}
        found = run_script(source)
        assert found.code == 1
        assert found.failure.startswith("InstallRequirementsError:\nExitCode 1\n")
        assert 'ExtraInfo "requirements.txt:3: cannot be installed: No matching distribution found for' in found.failure
        assert 'Command "python -m pip install -r requirements.txt"' in found.failure
        assert found.failure in found.log
        # Nothing half made is left to be taken for whole.
        assert [path.suffix for path in (run_script.root / "environments").iterdir()] == [".lock"]

    def test_what_a_script_installs_itself_goes_with_its_job(self, run_script):
        run_script.wheel("tiny_of_late", "1.0", "version = 1\n")
        script = "import subprocess, sys\n"
        script += "subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', 'tiny_of_late'])\n"
        script += "subprocess.check_call(['pip', '--version'])\n"
        found = run_script({"train.py": script + REPORTING.format(name="tiny_of_late")})
        assert found.code == 0, found.log
        (place,) = re.findall(r"^version 1 (.*)$", found.log, re.MULTILINE)
        assert Path(place).is_relative_to(found.job.root.parent / "environment")


IMPORTING = """
import sagemaker_training, sagemaker_containers, sagemaker_inference
from sagemaker_training import environment, errors
from sagemaker_containers.beta.framework import content_types, encoders, env, worker
from sagemaker_inference import content_types, decoder, encoder, errors
job = environment.Environment()
print("train is", job.channel_input_dirs["train"], job.hyperparameters["lr"], env.training_env().num_cpus)
print("args", job.to_cmd_args(), encoder.encode([[1, 2]], "application/json"))
print("csv", decoder.decode("1,2", content_types.CSV).tolist(), worker.Response("x", "text/csv").mimetype)
"""


def test_what_scripts_import_of_the_toolkits(run_script):
    found = run_script({"train.py": IMPORTING}, {"lr": 0.1}, channels=["train"])
    assert found.code == 0, found.log
    assert f"train is {found.job.data / 'train'} 0.1 {cores()}" in found.log
    assert "args ['--lr', '0.1'] [[1, 2]]" in found.log
    assert "csv [1.0, 2.0] text/csv" in found.log
    # Only there.
    with pytest.raises(ModuleNotFoundError):
        import sagemaker_containers  # noqa: F401


def test_an_import_of_the_debugger_does_not_end_a_script(run_script):
    script = (
        "import smdebug.pytorch as smd\nfrom smdebug import modes\n"
        "hook = smd.Hook.create_from_json_file()\nhook.register_module(None)\nhook.set_mode(modes.TRAIN)\n"
        "smd.get_hook(create_if_not_exists=True).save_scalar('a', 1)\nsmd.SaveConfig(save_interval=3)\n"
        "print('trained', bool(hook))\n"
    )
    found = run_script({"train.py": script})
    assert found.code == 0, found.log
    assert "trained False" in found.log
    assert "smdebug saves nothing here" in found.log


def test_a_fault_of_the_toolkits_own_is_called_so(run_script):
    first = run_script({"train.py": "print('done')\n"})
    (first.job.config / "resourceconfig.json").write_text("{}")
    again = run_script.start(first.job, {})
    assert again.code == 1
    assert again.failure.startswith("Framework Error: \nTraceback (most recent call last):")


def test_another_attempt_in_the_same_folder(run_script):
    first = run_script({"train.py": "print('attempt')\n"})
    again = run_script.start(first.job, {})
    assert again.code == 0, again.log
    assert "attempt" in again.log


def test_a_command_takes_the_toolkits_place(run_script):
    command = ("/bin/sh", "-c", "echo $MINE; python -c 'import sys; print(sys.prefix)'; pip --version; exit 4")
    found = run_script({}, command=command, given={"MINE": "theirs"})
    assert found.code == 1
    assert re.search(r"^theirs$", found.log, re.MULTILINE)
    assert str(found.job.root.parent / "environment") in found.log
    assert "ExitCode 4" in found.failure
    assert "Training Env" not in found.log


def test_an_interpreter_of_the_users_own(run_script):
    script = "import sys\nprint('prefix', sys.prefix)\nimport sagemaker_training\n"
    found = run_script({"train.py": script}, interpreter=Path(sys.executable))
    assert found.code == 0, found.log
    gone = run_script({"train.py": script}, interpreter=Path("/nowhere/python"))
    assert gone.failure == "ClientError: /nowhere/python: is no Python that starts; name another in clary.toml"


@pytest.mark.slow  # imports torch
def test_torchrun_where_the_estimator_asks_for_it(run_script):
    script = "import os\nprint('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'])\n"
    found = run_script({"train.py": script}, {"sagemaker_torch_distributed_enabled": True}, framework="pytorch")
    assert found.code == 0, found.log
    assert "rank 0 of 1" in found.log


def test_where_no_name_of_a_host_is_known_the_first_is_this_machine(run_script, tmp_path):
    script = "import os\nprint('first', os.environ['MASTER_ADDR'])\n"
    found = run_script({"train.py": script}, framework="pytorch", link=tmp_path / "opt")
    assert "first localhost" in found.log


@pytest.mark.parametrize("given", [{"x": "a\0b"}, {"a=b": 1}])
def test_hyperparameters_that_no_program_can_have_are_the_customers(run_script, given):
    ran = run_script({"train.py": ""}, given)
    assert ran.code == 1
    assert ran.failure.startswith("ClientError: the hyperparameter `")


def test_a_script_that_takes_its_output_folder_away_fails_in_its_own_words(run_script):
    take = "import os, shutil\nplace = os.environ['SM_OUTPUT_DIR']\nshutil.rmtree(place)\nopen(place, 'w').close()\n"
    ran = run_script({"train.py": f"{take}raise ValueError('no pictures')\n"})
    assert ran.code == 1
    assert 'ErrorMessage "ValueError: no pictures"' in ran.log
    assert "UsageError" not in ran.log
