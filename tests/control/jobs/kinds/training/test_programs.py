"""Which program an AlgorithmSpecification names."""

from __future__ import annotations

import re

import pytest

from clary.control.configuration import ImageRule
from clary.control.jobs.kinds.training.programs import Builtin, ImageCommand, Script, resolve, spec_of
from clary.errors import CustomerError
from clary.vision.algorithms import catalog

ECR = "811284229777.dkr.ecr.us-east-1.amazonaws.com"


def specification(image: str, **members: object) -> dict[str, object]:
    return {"TrainingImage": image, "TrainingInputMode": "File", **members}


@pytest.mark.parametrize(
    "image",
    [
        f"{ECR}/image-classification:1",
        "433757028032.dkr.ecr.us-west-2.amazonaws.com/image-classification:latest",
        "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/image-classification:1",
        "image-classification:1",
        "image-classification",
        "localhost:5000/image-classification:1",
    ],
)
def test_a_built_in_algorithm_is_known_by_repository_and_tag(image):
    assert resolve(specification(image)) == Builtin(catalog.find("image-classification"))


def test_every_algorithm_of_the_catalog_has_its_image():
    for spec in catalog.SPECS:
        assert resolve(specification(f"{ECR}/{spec.name}:1")) == Builtin(spec)
        assert spec_of(specification(f"{ECR}/{spec.name}:1")) is spec


@pytest.mark.parametrize("image", ["my-company/trainer:3", f"{ECR}/image-classifier:1"])
def test_an_unknown_image_is_named_with_those_that_are_known(image):
    with pytest.raises(CustomerError, match="is not known here") as refused:
        resolve(specification(image))
    assert image in str(refused.value)
    assert "image-classification:1" in str(refused.value)
    assert "say in clary.toml what it stands for, and start the platform again" in str(refused.value)


def test_a_tag_that_does_not_exist():
    with pytest.raises(CustomerError, match=r"the tag `7`.*use image-classification:1"):
        resolve(specification(f"{ECR}/image-classification:7"))


@pytest.mark.parametrize(
    ("image", "framework", "version", "python"),
    [
        ("pytorch-training:2.1-cpu-py310", "pytorch", "2.1", "py310"),
        ("tensorflow-training:2.13-gpu-py310", "tensorflow", "2.13", "py310"),
        ("sagemaker-scikit-learn:1.2-1-cpu-py3", "scikit-learn", "1.2-1", "py3"),
        ("sagemaker-tensorflow-scriptmode:1.13-cpu-py3", "tensorflow", "1.13", "py3"),
        (
            "huggingface-pytorch-training:2.0-transformers4.28-gpu-py310-cu118-ubuntu20.04",
            *("pytorch", "2.0", "py310"),
        ),
    ],
)
def test_framework_images_run_a_script(image, framework, version, python):
    found = resolve(specification(f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{image}"))
    assert isinstance(found, Script)
    assert (found.framework, found.version, found.python, found.argv) == (framework, version, python, ())


def test_drivers_of_sdk_v3_take_the_toolkits_place():
    members = {"ContainerEntrypoint": ["/bin/bash"], "ContainerArguments": ["-c", "./sm_train.sh"]}
    found = resolve(specification("pytorch-training:2.1-cpu-py310", **members))
    assert isinstance(found, Script)
    assert found.argv == ("/bin/bash", "-c", "./sm_train.sh")


@pytest.mark.parametrize("members", [{"ContainerEntrypoint": ["/bin/bash"]}, {"ContainerArguments": ["-c", "ls"]}])
def test_a_built_in_algorithm_has_no_other_entrypoint(members):
    with pytest.raises(CustomerError, match=r"are not for a built-in algorithm.*leave them out"):
        resolve(specification(f"{ECR}/image-classification:1", **members))


@pytest.mark.parametrize("members", [{}, {"ContainerEntrypoint": ["/bin/bash"]}])
def test_an_image_of_ones_own_is_refused_with_the_lines_that_map_it(members):
    with pytest.raises(CustomerError) as refused:
        resolve(specification(f"{ECR}/mine:3", **members))
    assert f"{ECR}/mine:3" in str(refused.value)
    (line,) = re.findall(r'\[\[images\]\] pattern = "mine:\*" environment = "clary"', str(refused.value))
    # What it says works.
    rules = (ImageRule("mine:*", "clary"),)
    found = resolve(specification(f"{ECR}/mine:3", **members), rules)
    assert line
    assert isinstance(found, Script)
    assert found.environment == "clary"


def test_a_framework_that_nobody_packages_any_more_is_refused_unless_it_is_mapped():
    image = "mxnet-training:1.9.0-cpu-py38"
    with pytest.raises(CustomerError, match=r"no environment for mxnet here.*clary\.toml"):
        resolve(specification(image))
    found = resolve(specification(image), [ImageRule("mxnet-training:*", "old")])
    assert isinstance(found, Script)
    assert (found.framework, found.environment) == ("mxnet", "old")


def test_a_mapped_command_is_started_as_the_images_entrypoint_would_be():
    rules = [ImageRule("*/mine:3", command=("python", "main.py"))]
    assert resolve(specification(f"{ECR}/mine:3"), rules) == ImageCommand(
        ("python", "main.py"), ("train",), mapped=True
    )
    arguments = {"ContainerArguments": ["--fast"]}
    found = resolve(specification(f"{ECR}/mine:3", **arguments), rules)
    assert isinstance(found, ImageCommand)
    assert found.argv == ("python", "main.py", "--fast")
    # An entry point of the request takes its place, and gets no `train`.
    found = resolve(specification(f"{ECR}/mine:3", ContainerEntrypoint=["run"]), rules)
    assert isinstance(found, ImageCommand)
    assert found.argv == ("run",)


@pytest.mark.parametrize("pattern", ["*/mine", f"{ECR}/mine", "mine", "mine:3", f"{ECR}/mine:*"])
@pytest.mark.parametrize("suffix", [":3", ":3@sha256:" + 64 * "a"])
def test_a_pattern_may_leave_the_tag_out(pattern, suffix):
    found = resolve(specification(f"{ECR}/mine{suffix}"), [ImageRule(pattern, "clary")])
    assert isinstance(found, Script)


def test_a_pattern_with_another_tag_does_not_fit():
    with pytest.raises(CustomerError):
        resolve(specification(f"{ECR}/mine:3"), [ImageRule("*/mine:4", "clary"), ImageRule("*/min", "clary")])


def test_a_mapped_command_in_an_environment():
    rules = [ImageRule("mine", "tf", ("python", "main.py"))]
    found = resolve(specification(f"{ECR}/mine:3"), rules)
    assert isinstance(found, Script)
    assert (found.argv, found.environment) == (("python", "main.py", "train"), "tf")


def test_the_first_rule_that_fits_counts_before_all_that_is_known():
    rules = [ImageRule("pytorch-training:1.*", "old"), ImageRule("pytorch-*", "new")]
    for tag, environment in (("1.8.1-cpu-py36", "old"), ("2.1-cpu-py310", "new")):
        found = resolve(specification(f"{ECR}/pytorch-training:{tag}"), rules)
        assert isinstance(found, Script)
        assert found.environment == environment
    assert isinstance(resolve(specification(f"{ECR}/image-classification:1"), rules), Builtin)


def test_no_image():
    with pytest.raises(CustomerError, match="names no TrainingImage"):
        resolve({"TrainingInputMode": "File"})
    with pytest.raises(CustomerError, match="the algorithm resource `mine`"):
        resolve({"AlgorithmName": "mine", "TrainingInputMode": "File"})
