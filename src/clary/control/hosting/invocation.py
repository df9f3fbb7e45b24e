"""What an invocation ends in: an answer, or the error a client of sagemaker-runtime sees.

Source: job-contract 4.1; botocore's description of sagemaker-runtime.
"""

from __future__ import annotations

from dataclasses import dataclass

from clary.control.hosting.log import group
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError

__all__ = ["HEADERS", "RETURNED", "Invocation", "model_error", "unavailable", "validation_error"]

# Members of a request, and the header that carries each to the container; nothing else of a client's reaches it.
HEADERS = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "TargetModel": "X-Amzn-SageMaker-Target-Model",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}
# Those of the container's answer that reach the client.
RETURNED = (HEADERS["ContentType"], HEADERS["CustomAttributes"])


@dataclass(frozen=True, slots=True)
class Invocation:
    """The answer of ``variant``'s worker, whatever its status. ``headers`` are those of RETURNED that it has."""

    status: int
    body: bytes
    headers: dict[str, str]
    variant: str


def validation_error(message: str) -> ServiceError:
    """A request that no worker sees."""
    return ServiceError("ValidationError", message, status=400)


def unavailable(message: str, retry_after: int) -> ServiceError:
    """As many calls wait as are held; clients of AWS try this code again by themselves."""
    return ServiceError("ServiceUnavailable", message, status=503, retry_after=retry_after)


def model_error(settings: Settings, endpoint: str, status: int, message: str, *, region: str = "") -> ServiceError:
    """A worker's refusal or failure as the client is told it. ``status`` is the worker's, 0: it gave no answer."""
    region = region or settings.region
    whose = "client" if 400 <= status < 500 else "server"
    logs = group(endpoint)
    text = (
        f'Received {whose} error ({status}) from primary with message "{message}". '
        f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={logs} "
        f"in account {settings.account} for more information."
    )
    return ServiceError(
        "ModelError",
        text,
        status=424,
        members={
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": settings.arn(f"log-group:{logs}", service="logs", region=region),
        },
    )
