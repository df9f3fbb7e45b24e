"""Training objectives: the loss of a batch, and the metrics counted while training and validating. One file a task."""
