"""Jobs: a directory, a process group, a log; prepared, started, watched, collected, and found again."""
