"""What scripts use of SageMaker's inference toolkit. Clary's own: on the path of its jobs only."""

__version__ = "1.10.1"
