"""The frameworks whose images run here: what they bring along, and how AWS's images start a script in them."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clary.toolkit.requirements import Requirements, requirements_of
from clary.toolkit.training_environment import TrainingEnvironment

__all__ = ["FRAMEWORKS", "Framework", "framework_requirements", "is_of_earlier_years"]


@dataclass(frozen=True, slots=True)
class Framework:
    """``module`` is SM_FRAMEWORK_MODULE, ``packages`` what is installed where Clary's own environment has it not,
    ``imported`` the module whose version the log tells, ``variables`` those that the image sets.

    Packages and variables go by the version that was asked for, the latter also by the platform's variables."""

    module: str = ""
    packages: Callable[[tuple[int, ...]], tuple[str, ...]] = lambda version: ()
    imported: str = ""
    variables: Callable[[TrainingEnvironment, Mapping[str, str], str], dict[str, str]] = lambda job, given, version: {}


def _tensorflow(version: tuple[int, ...]) -> tuple[str, ...]:
    # Only x86-64 has a build without CUDA's libraries. Keras 3 came with 2.16: older scripts get Keras 2 as tf_keras.
    name = "tensorflow-cpu" if platform.machine() in ("x86_64", "AMD64") else "tensorflow"
    return (name, "tf_keras") if _of_keras_2(version) else (name,)


def _of_keras_2(version: tuple[int, ...]) -> bool:
    return bool(version) and version < (2, 16)


def _pytorch_variables(job: TrainingEnvironment, given: Mapping[str, str], version: str) -> dict[str, str]:
    return {
        "MASTER_ADDR": job.hosts[0],
        "MASTER_PORT": "7777",
        "NCCL_SOCKET_IFNAME": str(job.values["network_interface_name"]),
        "NCCL_IB_DISABLE": "1",
        "NCCL_DEBUG": "WARN",
    }


def _tensorflow_variables(job: TrainingEnvironment, given: Mapping[str, str], version: str) -> dict[str, str]:
    """For TensorFlow's own reading and writing of s3:// (``--model_dir``), and Keras 2 for scripts of its time."""
    endpoint = given.get("S3_ENDPOINT_URL", "")
    secure = endpoint.startswith("https://")
    made = {
        "S3_USE_HTTPS": str(int(secure)),
        "S3_VERIFY_SSL": str(int(secure)),
        "S3_REGION": given.get("AWS_REGION", ""),
    }
    made |= {"S3_ENDPOINT": endpoint.partition("://")[2]} if endpoint else {}
    return made | ({"TF_USE_LEGACY_KERAS": "1"} if _of_keras_2(_numbers(version)) else {})


def _pytorch(version: tuple[int, ...]) -> tuple[str, ...]:
    return ("torch", "torchvision")


def _xgboost(version: tuple[int, ...]) -> tuple[str, ...]:
    # Without a GPU the other's libraries of CUDA would be hundreds of megabytes for nothing.
    without = platform.system() == "Linux" and shutil.which("nvidia-smi") is None
    # scikit-learn reads LIBSVM, pandas CSV: as in the image.
    return ("xgboost-cpu" if without else "xgboost", "scikit-learn", "pandas")


FRAMEWORKS: Mapping[str, Framework] = {
    "pytorch": Framework("sagemaker_pytorch_container.training:main", _pytorch, "torch", _pytorch_variables),
    "tensorflow": Framework(
        "sagemaker_tensorflow_container.training:main", _tensorflow, "tensorflow", _tensorflow_variables
    ),
    "scikit-learn": Framework(
        "sagemaker_sklearn_container.training:main", lambda version: ("scikit-learn", "pandas"), "sklearn"
    ),
    "xgboost": Framework("sagemaker_xgboost_container.training:main", _xgboost, "xgboost"),
    "base-python": Framework(),
    "distribution-cpu": Framework(),
    "distribution-gpu": Framework(),
}

_HUGGING_FACE = ("transformers", "datasets", "accelerate")


def framework_requirements(framework: str, version: str, *, hugging_face: bool = False) -> Requirements:
    """What a framework's scripts need beside what is here already; nothing where all is.

    ``version`` is the one asked for (``2.1``, ``1.2-1``, or empty): the newest that fits this Python is installed.
    """
    found = FRAMEWORKS.get(framework, Framework())
    wanted = found.packages(_numbers(version)) + (_HUGGING_FACE if hugging_face else ())
    missing = tuple(package for package in wanted if not _is_here(package))
    return requirements_of(*missing, name=f"the environment of {framework}")


def _is_here(package: str) -> bool:
    modules = {"scikit-learn": "sklearn", "tensorflow-cpu": "tensorflow", "xgboost-cpu": "xgboost"}
    # Looked for and not imported: TensorFlow takes seconds.
    return importlib.util.find_spec(modules.get(package, package)) is not None


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.replace("-", ".").split(".")
    return tuple(int(part) for part in parts if part.isdigit())


# The first versions whose images have no library so old that names of it are gone since.
_OF_TODAY = {"pytorch": (2, 6), "tensorflow": (2, 16), "scikit-learn": (1, 4), "xgboost": (3,)}


def is_of_earlier_years(framework: str, version: str) -> bool:
    """Whether a script that asks for this version knows libraries that have dropped names since."""
    asked = _numbers(version)
    return bool(asked) and asked < _OF_TODAY.get(framework, ())
