"""Processing jobs: a program on folders of data, which leaves folders of data."""
