"""The frameworks whose images run here: what they bring along, and how AWS's images start a script in them."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clary.toolkit.requirements import Requirements, requirements_of
from clary.toolkit.training_environment import TrainingEnvironment

__all__ = ["FRAMEWORKS", "Framework", "is_of_earlier_years", "layers_of_framework"]


@dataclass(frozen=True, slots=True)
class Framework:
    """``module`` is SM_FRAMEWORK_MODULE, ``packages`` what is installed where Clary's own environment has it not,
    ``alone`` what is installed on top of that without what it says it needs, ``imported`` the module whose version the
    log tells, ``variables`` those that the image sets.

    Packages and variables go by the version that was asked for, the latter also by the platform's variables."""

    module: str = ""
    packages: Callable[[tuple[int, ...]], tuple[str, ...]] = lambda version: ()
    alone: Callable[[tuple[int, ...]], tuple[str, ...]] = lambda version: ()
    imported: str = ""
    variables: Callable[[TrainingEnvironment, Mapping[str, str], str], dict[str, str]] = lambda job, given, version: {}


# One minor version, which tf_keras has to share; named, so that pip need not search through all there are.
_TENSORFLOW = "~=2.21.0"


def _tensorflow(version: tuple[int, ...]) -> tuple[str, ...]:
    # Only x86-64 has a build without CUDA's libraries.
    name = "tensorflow-cpu" if platform.machine() in ("x86_64", "AMD64") else "tensorflow"
    return (f"{name}{_TENSORFLOW}", "keras~=3.15", "orjson~=3.11")


def _keras_2(version: tuple[int, ...]) -> tuple[str, ...]:
    # Keras 3 came with 2.16: older scripts get Keras 2 as tf_keras.
    return (f"tf_keras{_TENSORFLOW}",) if _of_keras_2(version) else ()


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
    "pytorch": Framework(
        "sagemaker_pytorch_container.training:main", _pytorch, imported="torch", variables=_pytorch_variables
    ),
    "tensorflow": Framework(
        module="sagemaker_tensorflow_container.training:main",
        packages=_tensorflow,
        # It asks for `tensorflow`, which on x86-64 would come with CUDA's libraries, over what is there already.
        alone=_keras_2,
        imported="tensorflow",
        variables=_tensorflow_variables,
    ),
    "scikit-learn": Framework(
        "sagemaker_sklearn_container.training:main", lambda version: ("scikit-learn", "pandas"), imported="sklearn"
    ),
    "xgboost": Framework("sagemaker_xgboost_container.training:main", _xgboost, imported="xgboost"),
    "base-python": Framework(),
    "distribution-cpu": Framework(),
    "distribution-gpu": Framework(),
}

_HUGGING_FACE = ("transformers", "datasets", "accelerate")


def layers_of_framework(framework: str, version: str, *, hugging_face: bool = False) -> list[Requirements]:
    """What a framework's programs need beside what is here already, a layer on the other; nothing where all is here.

    ``version`` is the one asked for (``2.1``, ``1.2-1``, or empty): the newest that fits this Python is installed.
    """
    found, asked = FRAMEWORKS.get(framework, Framework()), _numbers(version)
    packages = found.packages(asked) + (_HUGGING_FACE if hugging_face else ())
    named = f"the environment of {framework}"
    layers = [
        requirements_of(*_missing(packages), name=named),
        requirements_of(*_missing(found.alone(asked)), name=f"{named} {version}", dependencies=False),
    ]
    return [layer for layer in layers if layer]


def _missing(packages: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(package for package in packages if not _is_here(re.split(r"[~=<>!]", package)[0]))


def _is_here(package: str) -> bool:
    modules = {"scikit-learn": "sklearn", "tensorflow-cpu": "tensorflow", "xgboost-cpu": "xgboost"}
    # Looked for and not imported: TensorFlow takes seconds.
    return importlib.util.find_spec(modules.get(package, package)) is not None


def _numbers(version: str) -> tuple[int, ...]:
    """A version as it is compared: (2, 8) of ``2.8``."""
    parts = version.replace("-", ".").split(".")
    return tuple(int(part) for part in parts if part.isdigit())


# The first versions whose images have no library so old that names of it are gone since.
_OF_TODAY = {"pytorch": (2, 6), "tensorflow": (2, 16), "scikit-learn": (1, 4), "xgboost": (3,)}


def is_of_earlier_years(framework: str, version: str) -> bool:
    """Whether a script that asks for this version knows libraries that have dropped names since."""
    asked = _numbers(version)
    return bool(asked) and asked < _OF_TODAY.get(framework, ())
