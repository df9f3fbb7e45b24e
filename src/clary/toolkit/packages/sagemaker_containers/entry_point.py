"""What scripts of several hosts call before they look for each other."""

__all__: list[str] = []


def _wait_hostname_resolution() -> None:
    """The names of all hosts are known before a script starts."""
