"""What scripts use of SageMaker's Hugging Face toolkit. Clary's own: on the path of its endpoints only."""
