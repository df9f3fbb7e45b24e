"""Semantic segmentation: SageMaker's built-in algorithm."""
