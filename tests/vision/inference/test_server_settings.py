"""The environment of a serving program."""

from __future__ import annotations

import pytest

from clary.errors import UsageError
from clary.vision.inference.server_settings import ServerSettings


def test_nothing_is_set():
    assert ServerSettings.from_environment({}) == ServerSettings(6, False, "SINGLE_RECORD", None)


def test_a_batch_transform():
    variables = {
        "SAGEMAKER_BATCH": "True",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
    }
    settings = ServerSettings.from_environment(variables)
    assert settings == ServerSettings(20, True, "MULTI_RECORD", 3)
    expected = {"MaxConcurrentTransforms": 3, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 20}
    assert settings.execution_parameters(4) == expected


def test_the_precision():
    assert ServerSettings.from_environment({}).precision == "auto"
    assert ServerSettings.from_environment({"SAGEMAKER_MODEL_PRECISION": "fp32"}).precision == "fp32"
    with pytest.raises(UsageError) as caught:
        ServerSettings.from_environment({"SAGEMAKER_MODEL_PRECISION": "fp16"})
    assert str(caught.value) == "SAGEMAKER_MODEL_PRECISION: is 'fp16'; set it to auto or fp32, or not at all"


def test_os_environ_is_read(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "7")
    assert ServerSettings.from_environment().max_payload == 7


@pytest.mark.parametrize("text", ["six", "-1", "1.5", "²", "9" * 5000])
def test_what_is_no_number(text):
    with pytest.raises(UsageError, match=r"^SAGEMAKER_MAX_PAYLOAD_IN_MB: is '") as caught:
        ServerSettings.from_environment({"SAGEMAKER_MAX_PAYLOAD_IN_MB": text})
    assert len(str(caught.value)) < 200
