"""Training on several hosts; here there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["rabit_run"]


def rabit_run(
    exec_fun: Callable[..., Any],
    args: Mapping[str, Any],
    include_in_training: bool,
    hosts: Sequence[str],
    current_host: str,
    first_port: int | None = None,
    second_port: int | None = None,
    max_connect_attempts: int | None = None,
    connect_retry_timeout: int = 3,
    update_rabit_args: bool = False,
) -> None:
    """Call ``exec_fun``, which is told with ``update_rabit_args`` that it is the first of the hosts. Raises ValueError
    for more than one."""
    if len(hosts) > 1:
        raise ValueError("a job has one host here")
    if include_in_training:
        exec_fun(**args, **({"is_master": True} if update_rabit_args else {}))
