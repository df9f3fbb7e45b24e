"""Training jobs: an algorithm or a program on channels of data, which leaves a model."""
