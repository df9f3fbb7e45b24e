"""Notes every pause of a program, in seconds, a line each, in the file that PAUSES names.

The hook of `clary run` stands before it and hands on to it, as to any sitecustomize of a user.
"""

import os
import time

_sleep = time.sleep


def _noted(seconds: float) -> None:
    with open(os.environ["PAUSES"], "a") as file:
        file.write(f"{seconds}\n")
    _sleep(seconds)


if "PAUSES" in os.environ:
    time.sleep = _noted  # type: ignore[assignment]
