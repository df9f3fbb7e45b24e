"""``env.training_env()``."""

from sagemaker_training import training_env
from sagemaker_training.environment import Environment as TrainingEnv

__all__ = ["TrainingEnv", "training_env"]
