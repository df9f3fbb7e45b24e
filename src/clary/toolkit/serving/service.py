"""What a framework makes of a model folder: something that answers requests."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

__all__ = ["MODULES", "Answer", "Request", "Service", "load"]


@dataclass(frozen=True, slots=True)
class Request:
    """One POST /invocations. ``content_type``, ``accept`` and ``custom_attributes`` are empty where the client named
    none; ``headers`` has all that came, by names in lower case."""

    body: bytes
    content_type: str
    accept: str
    custom_attributes: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets, whatever ``status`` is."""

    status: int
    body: bytes
    content_type: str
    custom_attributes: str = ""


class Service(Protocol):
    """A loaded model with its user's functions.

    ``streams`` calls of ``answer`` are made at a time. With one, they are all made by the thread that loaded the
    service, which is the process's main one and runs no event loop: users' code may keep sessions and signal handlers.
    """

    @property
    def streams(self) -> int: ...

    def answer(self, request: Request) -> Answer:
        """The answer; errors of the user's code are answers, too, in the words of the framework's toolkit.

        Raises only what makes the worker useless: it ends, and another is started.
        """
        ...

    def close(self) -> None: ...


# Where a framework's ``load(model_dir, variables) -> Service`` stands. ``model_dir`` is the unpacked model data as the
# user's code is to see it (/opt/ml/model where it can be shown there), ``variables`` those of the worker. What it
# raises ends the worker: the traceback goes to the log, and why it was to the endpoint's FailureReason.
MODULES: Mapping[str, str] = {
    "pytorch": "clary.toolkit.serving.pytorch",
    "hugging-face": "clary.toolkit.serving.hugging_face",
    "scikit-learn": "clary.toolkit.serving.scikit_learn",
    "tensorflow": "clary.toolkit.serving.tensorflow",
    "xgboost": "clary.toolkit.serving.xgboost",
}
GENERIC = "clary.toolkit.serving.functions"  # images of the user's own: model_fn and predict_fn are a must


def load(framework: str, model_dir: Path, variables: Mapping[str, str]) -> Service:
    """The service of a framework's image for the model in ``model_dir``. Raises whatever the user's code does."""
    service: Service = import_module(MODULES.get(framework, GENERIC)).load(model_dir, variables)
    # What is loaded stays. Collections would look through all of it, and find nothing: 0.2 s with TensorFlow's objects,
    # every tenth call of a picture as JSON, whose lists are what sets them off.
    gc.collect()
    gc.freeze()
    return service
