"""Which program an AlgorithmSpecification names."""

from __future__ import annotations

import pytest

from clary.control.jobs.kinds.training.programs import Builtin, resolve, spec_of
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


@pytest.mark.parametrize("image", [f"{ECR}/linear-learner:1", "my-company/trainer:3", "image-classification-neo:1"])
def test_an_unknown_image_is_named_with_those_that_are_known(image):
    with pytest.raises(CustomerError, match="is not known here") as refused:
        resolve(specification(image))
    assert image in str(refused.value)
    assert "image-classification:1" in str(refused.value)


def test_a_tag_that_does_not_exist():
    with pytest.raises(CustomerError, match=r"the tag `7`.*use image-classification:1"):
        resolve(specification(f"{ECR}/image-classification:7"))


@pytest.mark.parametrize(
    "repository",
    [
        "pytorch-training:2.1-cpu-py310",
        "tensorflow-training:2.13-gpu-py310",
        "sagemaker-scikit-learn:1.2-1-cpu-py3",
        "huggingface-pytorch-training:2.0-transformers4.28-gpu-py310-cu118-ubuntu20.04",
        "sagemaker-tensorflow-scriptmode:1.13-cpu-py3",
        "mxnet-training:1.9.0-cpu-py38",
    ],
)
def test_framework_images_are_recognised(repository):
    with pytest.raises(CustomerError, match=r"script mode.*not supported yet"):
        resolve(specification(f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{repository}"))


@pytest.mark.parametrize("image", [f"{ECR}/image-classification:1", "pytorch-training:2.1-cpu-py310", "mine:3"])
@pytest.mark.parametrize("members", [{"ContainerEntrypoint": ["/bin/bash"]}, {"ContainerArguments": ["-c", "ls"]}])
def test_an_entrypoint_is_not_supported_yet(members, image):
    with pytest.raises(CustomerError, match="ContainerEntrypoint and ContainerArguments are not supported yet"):
        resolve(specification(image, **members))


def test_no_image():
    with pytest.raises(CustomerError, match="names no TrainingImage"):
        resolve({"TrainingInputMode": "File"})
    with pytest.raises(CustomerError, match="the algorithm resource `mine`"):
        resolve({"AlgorithmName": "mine", "TrainingInputMode": "File"})
