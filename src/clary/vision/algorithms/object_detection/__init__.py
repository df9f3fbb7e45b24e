"""Object detection: SageMaker's built-in algorithm."""
