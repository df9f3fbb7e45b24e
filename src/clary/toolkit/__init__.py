"""What starts a user's own script inside a job, in the place of SageMaker's toolkits; it knows of no platform."""
