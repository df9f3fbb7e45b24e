"""Tags of any resource."""

from __future__ import annotations

from clary.control.platform import Platform
from clary.control.store.records import NoSuchRecord
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, operation

__all__ = ["LIMIT", "tags_of"]

# As on AWS (API reference, AddTags).
LIMIT = 50  # tags of one resource


def tags_of(request: Request) -> dict[str, str]:
    """The member ``Tags`` of a Create request. Raises ValidationException for a key given twice or reserved."""
    tags: dict[str, str] = {}
    for tag in request.get("Tags") or []:
        if tag["Key"] in tags:
            raise ValidationException(f"Duplicate tag keys found. Please note that Tag keys are unique: {tag['Key']}")
        if tag["Key"].lower().startswith("aws:"):
            raise ValidationException(f'The tag key "{tag["Key"]}" cannot begin with aws:, which is reserved')
        tags[tag["Key"]] = tag["Value"]
    return tags


@operation("sagemaker", "AddTags")
def add_tags(platform: Platform, request: Request) -> Answer:
    """Answers with all tags the resource has then."""
    arn, new = request["ResourceArn"], tags_of(request)
    if len(platform.store.tags(arn) | new) > LIMIT:
        raise ServiceError("ResourceLimitExceeded", f'"{arn}" would have more than {LIMIT} tags')
    try:
        platform.store.tag(arn, new)
    except NoSuchRecord as error:
        raise _missing(arn) from error
    return _answer(platform, arn)


@operation("sagemaker", "ListTags")
def list_tags(platform: Platform, request: Request) -> Answer:
    """All tags at once: SDK v2 looks for a token under another name, so it would never see a second page."""
    arn = request["ResourceArn"]
    if request.get("NextToken"):
        raise ValidationException("Invalid NextToken: all tags were in the answer before")
    answer = _answer(platform, arn)
    if not answer["Tags"] and platform.store.by_arn(arn) is None:
        raise _missing(arn)
    return answer


@operation("sagemaker", "DeleteTags")
def delete_tags(platform: Platform, request: Request) -> Answer:
    arn = request["ResourceArn"]
    if platform.store.by_arn(arn) is None:
        raise _missing(arn)
    platform.store.untag(arn, request["TagKeys"])
    return {}


def _answer(platform: Platform, arn: str) -> dict[str, list[dict[str, str]]]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in platform.store.tags(arn).items()]}


def _missing(arn: str) -> ValidationException:
    return ValidationException(f'Could not find resource "{arn}".')
