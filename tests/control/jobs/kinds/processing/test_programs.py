"""Which program an AppSpecification names."""

from __future__ import annotations

from typing import Any

import pytest

from clary.control.configuration import ImageRule
from clary.control.jobs.kinds.processing.programs import ImageCommand, Script, command, resolve
from clary.errors import CustomerError

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
RUN = ("python3", "/opt/ml/processing/input/code/prep.py")


def application(image: str, *entrypoint: str, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    told: dict[str, Any] = {"ImageUri": image}
    told |= {"ContainerEntrypoint": list(entrypoint)} if entrypoint else {}
    return told | ({"ContainerArguments": list(arguments)} if arguments else {})


@pytest.mark.parametrize(
    ("image", "framework", "version"),
    [
        ("sagemaker-scikit-learn:0.23-1-cpu-py3", "scikit-learn", "0.23-1"),
        ("pytorch-training:2.1-cpu-py310", "pytorch", "2.1"),
        ("pytorch-inference:2.1-cpu-py310", "pytorch", "2.1"),
        ("tensorflow-training:2.13-cpu-py310", "tensorflow", "2.13"),
        ("huggingface-pytorch-training:2.0-transformers4.28-gpu-py310-cu118-ubuntu20.04", "pytorch", "2.0"),
        ("sagemaker-xgboost:1.5-1", "xgboost", "1.5-1"),
    ],
)
def test_an_image_of_a_framework_for_training_or_serving(image, framework, version):
    program = resolve(application(f"{ECR}/{image}", *RUN, arguments=("--n", "3")))
    assert isinstance(program, Script)
    assert (program.framework, program.version) == (framework, version)
    assert command(program) == (*RUN, "--n", "3")


@pytest.mark.parametrize("python", ["/usr/bin/python3", "/miniconda3/bin/python", "/usr/local/bin/python3.9"])
def test_the_interpreter_of_an_image_is_the_environments(python):
    program = resolve(application(f"{ECR}/sagemaker-scikit-learn:1.2-1", python, "prep.py"))
    assert isinstance(program, Script)
    assert command(program) == (python.rpartition("/")[2], "prep.py")


def test_any_other_program_is_what_it_is():
    program = resolve(application(f"{ECR}/sagemaker-scikit-learn:1.2-1", "/bin/bash", "/opt/ml/processing/run.sh"))
    assert isinstance(program, Script)
    assert command(program) == ("/bin/bash", "/opt/ml/processing/run.sh")


@pytest.mark.parametrize(
    ("image", "entrypoint", "words"),
    [
        ("sagemaker-spark-processing:3.1-cpu-py37-v1.0", ("smspark-submit",), "Spark, which is not here"),
        ("sagemaker-clarify-processing:1.0", (), "Clarify, which is not here"),
        ("sagemaker-model-monitor-analyzer", (), "Model Monitor, which is not here"),
        ("sagemaker-data-wrangler-container:2.x", (), "Data Wrangler, which is not here"),
        ("image-classification:1", (), "trains by image-classification and processes nothing"),
        ("my-company/prepare:3", (), "is not known here"),
        ("my-company/prepare:3", RUN, "is not mapped to anything that runs here"),
        ("mxnet-training:1.9-cpu-py38", RUN, "there is no environment for mxnet here"),
        ("sagemaker-scikit-learn:1.2-1", (), "has no ContainerEntrypoint that names one"),
    ],
)
def test_what_cannot_run_is_named_with_what_to_do(image, entrypoint, words):
    with pytest.raises(CustomerError, match=words) as refused:
        resolve(application(f"{ECR}/{image}", *entrypoint))
    assert image in str(refused.value)
    assert refused.value.hint


def test_an_image_that_clary_toml_names():
    rules = (
        ImageRule("mine:*", "vision"),
        ImageRule("tool*", command=("tool", "--fast")),
        ImageRule("*spark*", "vision"),
    )
    script = resolve(application(f"{ECR}/mine:1", *RUN), rules)
    assert isinstance(script, Script)
    assert (script.environment, command(script)) == ("vision", RUN)
    # As SageMaker starts an image: its own entry point, without a word that nobody said.
    tool = resolve(application("tool:2"), rules)
    assert isinstance(tool, ImageCommand)
    assert tool.argv == ("tool", "--fast")
    tool = resolve(application("tool:2", arguments=("a",)), rules)
    assert tool.argv == ("tool", "--fast", "a")
    assert isinstance(resolve(application("sagemaker-spark-processing:3", "smspark-submit"), rules), Script)
