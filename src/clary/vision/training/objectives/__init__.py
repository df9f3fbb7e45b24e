"""What a batch means: its loss, and what is counted to judge it. One file a task."""
