"""The parts of the former toolkit that scripts import, scikit-learn's above all, most of them for serving."""

from sagemaker_containers import Environment, entry_point, training_env
from sagemaker_containers.beta.framework import encoders, env, modules, server, transformer, worker
from sagemaker_inference import content_types, errors

__all__ = [
    "Environment",
    "content_types",
    "encoders",
    "entry_point",
    "env",
    "errors",
    "modules",
    "server",
    "training_env",
    "transformer",
    "worker",
]
