"""What scripts use of SageMaker's training toolkit. Clary's own: on the path of its jobs only."""

from sagemaker_training.environment import Environment

__all__ = ["Environment", "training_env"]
__version__ = "5.1.4"


def training_env() -> Environment:
    """What the job is told of itself."""
    return Environment()
