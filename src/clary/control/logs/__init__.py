"""Log events of jobs and endpoints: one file a stream."""
