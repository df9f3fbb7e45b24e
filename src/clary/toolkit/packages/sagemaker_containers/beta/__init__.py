"""Kept for imports of `sagemaker_containers.beta.framework`."""
