"""Which instance types may name files of this machine."""

from __future__ import annotations

import ctypes

import pytest

from clary.control import local_mode
from clary.errors import CustomerError


@pytest.fixture(autouse=True)
def asked_anew():
    local_mode._has_gpu.cache_clear()
    yield
    local_mode._has_gpu.cache_clear()


class Driver:
    """libcuda, as far as it is asked."""

    def __init__(self, gpus: int, error: int = 0) -> None:
        self.gpus, self.error = gpus, error

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, count: ctypes._Pointer[ctypes.c_int]) -> int:
        count._obj.value = self.gpus  # type: ignore[attr-defined]
        return 0


def test_files_are_for_local_mode_alone():
    local_mode.check(["local"], ["file:///data", "s3://bucket/data"])
    local_mode.check(["ml.m5.large"], ["s3://bucket/file://data", ""])
    for types in (["ml.m5.large"], ["local", "ml.m5.large"], [""]):
        with pytest.raises(
            CustomerError, match=r"^file:///data is a file of this machine, which only the instance types"
        ):
            local_mode.check(types, ["s3://bucket/data", "file:///data"])


@pytest.mark.parametrize("driver", [Driver(0), Driver(1, error=100), object(), None])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, driver):
    def load(name):
        if driver is None:
            raise OSError("no such library")
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(CustomerError, match=r"^the instance type local_gpu cannot be had: .*; use local$"):
        local_mode.check(["local_gpu"], [])


def test_one_that_is_there_is_not(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(2))
    local_mode.check(["local_gpu"], ["file:///data"])
