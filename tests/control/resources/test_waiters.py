"""boto3's waiters come to their end, the good and the bad one."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import WaiterError

from clary.control.platform import Platform

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:"
ONCE = {"Delay": 0, "MaxAttempts": 1}


@pytest.mark.parametrize(("status", "good"), [("Completed", True), ("Stopped", True), ("Failed", False)])
def test_of_a_training_job(sagemaker: Any, platform: Platform, status: str, good: bool) -> None:
    body = {"TrainingJobStatus": status, "SecondaryStatus": status, "FailureReason": "why"}
    platform.store.create("training-job", "job", arn=f"{ARN}training-job/job", body=body, status=status)
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    if good:
        waiter.wait(TrainingJobName="job", WaiterConfig=ONCE)
        return
    with pytest.raises(WaiterError, match="terminal failure state") as caught:
        waiter.wait(TrainingJobName="job", WaiterConfig=ONCE)
    assert caught.value.last_response["FailureReason"] == "why"


def test_of_a_training_job_that_there_is_not(sagemaker: Any, platform: Platform) -> None:
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    with pytest.raises(WaiterError, match="ValidationException"):
        waiter.wait(TrainingJobName="nobody", WaiterConfig=ONCE)


@pytest.mark.parametrize(("status", "good"), [("Completed", True), ("Stopped", True), ("Failed", False)])
def test_of_a_processing_job(sagemaker: Any, platform: Platform, status: str, good: bool) -> None:
    body = {"ProcessingJobStatus": status, "FailureReason": "why"}
    platform.store.create("processing-job", "job", arn=f"{ARN}processing-job/job", body=body, status=status)
    waiter = sagemaker.get_waiter("processing_job_completed_or_stopped")
    if good:
        waiter.wait(ProcessingJobName="job", WaiterConfig=ONCE)
        return
    with pytest.raises(WaiterError, match="terminal failure state") as caught:
        waiter.wait(ProcessingJobName="job", WaiterConfig=ONCE)
    assert caught.value.last_response["FailureReason"] == "why"
    with pytest.raises(WaiterError, match="ValidationException"):
        waiter.wait(ProcessingJobName="nobody", WaiterConfig=ONCE)


@pytest.mark.parametrize(("status", "good"), [("InService", True), ("Failed", False)])
def test_of_an_endpoint(sagemaker: Any, platform: Platform, status: str, good: bool) -> None:
    body = {"EndpointConfigName": "config", "FailureReason": "why"}
    platform.store.create("endpoint", "pets", arn=f"{ARN}endpoint/pets", body=body, status=status)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    if good:
        waiter.wait(EndpointName="pets", WaiterConfig=ONCE)
        return
    with pytest.raises(WaiterError, match="terminal failure state"):
        waiter.wait(EndpointName="pets", WaiterConfig=ONCE)
    with pytest.raises(WaiterError, match="terminal failure state"):
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="pets", WaiterConfig=ONCE)


def test_of_an_endpoint_that_is_gone(sagemaker: Any, platform: Platform) -> None:
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="gone", WaiterConfig=ONCE)
    with pytest.raises(WaiterError, match="ValidationException"):
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="gone", WaiterConfig=ONCE)
