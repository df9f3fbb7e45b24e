"""sagemaker-runtime: calls to endpoints. Its errors have their own names: ValidationError, ModelError."""

from __future__ import annotations

import uuid
from typing import Any

from clary.control.hosting.asynchronous import AsyncCall
from clary.control.hosting.invocation import HEADERS, Invocation, model_error, unavailable, validation_error
from clary.control.objects.base import S3Uri
from clary.control.platform import Platform
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__: list[str] = []

# The default of InvocationTimeoutSeconds (API reference, InvokeEndpointAsync).
_ASYNC_LIMIT = 900.0  # seconds an asynchronous call may take, unless it says otherwise


@operation("sagemaker-runtime", "InvokeEndpoint")
async def invoke_endpoint(platform: Platform, request: Request) -> Answer:
    name = request["EndpointName"]
    headers = {header: request[member] for member, header in HEADERS.items() if request.get(member)}
    calling = platform.hosting.invoke(name, request.get("Body") or b"", headers, variant=request.get("TargetVariant"))
    # Who has gone gives up the place in the queue.
    invocation = await call().unless_gone(calling)
    _check(platform, name, invocation)
    return {
        "Body": invocation.body,
        "ContentType": invocation.headers.get(HEADERS["ContentType"]),
        "InvokedProductionVariant": invocation.variant,
        "CustomAttributes": invocation.headers.get(HEADERS["CustomAttributes"]),
    }


@operation("sagemaker-runtime", "InvokeEndpointAsync")
def invoke_endpoint_async(platform: Platform, request: Request) -> Answer:
    """Answered before the call is made; the endpoint's configuration says where its answer will lie."""
    name = request["EndpointName"]
    config = _asynchronous(platform, name)
    # A name of its own, not the InferenceId: that is the caller's and may come twice.
    key, identity = str(uuid.uuid4()), request.get("InferenceId") or str(uuid.uuid4())
    extension = filter(None, (request.get("S3OutputPathExtension") or "").split("/"))
    output = S3Uri.parse(config["S3OutputPath"]).join(*extension, request.get("Filename") or f"{key}.out")
    failure = S3Uri.parse(config["S3FailurePath"]).join(f"{key}-error.out") if config.get("S3FailurePath") else None
    platform.hosting.invoke_later(
        AsyncCall(
            name,
            _source(request),
            {header: request[member] for member, header in HEADERS.items() if request.get(member)},
            output,
            failure,
            float(request.get("InvocationTimeoutSeconds") or _ASYNC_LIMIT),
        )
    )
    # Told before anything lies there: clients of AWS poll the place.
    locations = {"OutputLocation": str(output), "FailureLocation": str(failure) if failure else None}
    return {"InferenceId": identity, **locations}


def _asynchronous(platform: Platform, name: str) -> dict[str, Any]:
    """Where the endpoint's configuration wants answers. Raises ValidationError when it says nothing of that."""
    record = platform.store.get("endpoint", name)
    if record is None:
        # SageMaker's words: clients match on them.
        raise validation_error(f"Endpoint {name} of account {platform.settings.account} not found.")
    config = (record.body.get("AsyncInferenceConfig") or {}).get("OutputConfig", {})
    if not config.get("S3OutputPath"):
        raise validation_error(f"Endpoint {name} has no AsyncInferenceConfig with an S3OutputPath; use InvokeEndpoint")
    return dict(config)


def _source(request: Request) -> bytes | S3Uri:
    if request.get("Body"):
        return bytes(request["Body"])
    if not request.get("InputLocation"):
        raise validation_error("Give InputLocation, the S3 URI of the request's body")
    try:
        return S3Uri.parse(request["InputLocation"])
    except ValidationException as error:
        raise validation_error(error.message) from error


def _check(platform: Platform, name: str, invocation: Invocation) -> None:
    """Raises ServiceError for an answer that is none of success."""
    if 200 <= invocation.status < 300:
        return
    message = invocation.body.decode(errors="replace").rstrip("\n")
    if invocation.status == 503:
        raise unavailable(message, 1)
    raise model_error(platform.settings, name, invocation.status, message, region=call().region)
