"""What scripts use of SageMaker's former toolkit. Clary's own: on the path of its jobs only."""

from sagemaker_containers import entry_point
from sagemaker_training import training_env
from sagemaker_training.environment import Environment

__all__ = ["Environment", "entry_point", "training_env"]
__version__ = "2.8.6.post2"
