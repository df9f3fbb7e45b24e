"""Local mode of the SageMaker SDKs: the instance types ``local`` and ``local_gpu``, and files of this machine as data.

On AWS neither reaches the service: the SDK starts a container beside the program and shows it the folders that
``file://`` URIs name. Here such a job is one like all others.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache

from clary.errors import CustomerError

__all__ = ["FILES", "INSTANCE_TYPES", "check"]

INSTANCE_TYPES = frozenset({"local", "local_gpu"})
FILES = "file://"


def check(instance_types: Iterable[str], uris: Iterable[str]) -> None:
    """Raises CustomerError for files named beside another instance type, and for a GPU that is not there.

    ``uris`` are those of channels, results or model data, ``s3://`` ones among them.
    """
    asked = set(instance_types)
    if "local_gpu" in asked and not _has_gpu():
        what = "the instance type local_gpu cannot be had: CUDA finds no GPU on this machine"
        raise CustomerError(what, hint="use local")
    if asked <= INSTANCE_TYPES:
        return
    for uri in uris:
        if uri.startswith(FILES):
            what = f"{uri} is a file of this machine, which only the instance types local and local_gpu may use"
            raise CustomerError(what, hint="set one of them, or put the data into a bucket")


@cache
def _has_gpu() -> bool:
    # Asked of the driver itself: the gateway loads no tensor library.
    count = ctypes.c_int(0)
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
            return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
        except (OSError, AttributeError):
            continue
    return False
