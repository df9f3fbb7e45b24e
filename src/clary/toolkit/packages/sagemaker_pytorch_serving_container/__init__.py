"""What scripts use of SageMaker's PyTorch serving container. Clary's own: on the path of its endpoints only."""
