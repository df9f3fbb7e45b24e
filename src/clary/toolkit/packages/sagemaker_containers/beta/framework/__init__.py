"""The parts of the former toolkit that scikit-learn scripts import, most of them for serving."""

from sagemaker_containers import Environment, training_env
from sagemaker_containers.beta.framework import encoders, env, worker
from sagemaker_inference import content_types, errors

__all__ = ["Environment", "content_types", "encoders", "env", "errors", "training_env", "worker"]
