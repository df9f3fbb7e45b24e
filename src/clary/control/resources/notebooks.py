"""What the SDK looks up when it runs where SageMaker's own notebooks do: which role is mine?

Nothing of it is stored. Whatever name the notebook's metadata holds, it is there, in service, and has the one role.
"""

from __future__ import annotations

from typing import Any

from clary.control.platform import Platform
from clary.control.resources.iam import CREATED
from clary.control.wire.operation import Answer, Request, call, operation

__all__: list[str] = []


@operation("sagemaker", "DescribeNotebookInstance")
def describe_notebook_instance(platform: Platform, request: Request) -> Answer:
    name = request["NotebookInstanceName"]
    return {
        "NotebookInstanceArn": _arn(platform, f"notebook-instance/{name.lower()}"),
        "NotebookInstanceName": name,
        "NotebookInstanceStatus": "InService",
        "InstanceType": "ml.t3.medium",
        "RoleArn": platform.settings.role_arn,
        "DirectInternetAccess": "Enabled",
        "RootAccess": "Enabled",
        **_times(),
    }


@operation("sagemaker", "DescribeDomain")
def describe_domain(platform: Platform, request: Request) -> Answer:
    domain = request["DomainId"]
    return {
        "DomainArn": _arn(platform, f"domain/{domain}"),
        "DomainId": domain,
        "DomainName": domain,
        "Status": "InService",
        "AuthMode": "IAM",
        "DefaultUserSettings": {"ExecutionRole": platform.settings.role_arn},
        **_times(),
    }


@operation("sagemaker", "DescribeUserProfile")
def describe_user_profile(platform: Platform, request: Request) -> Answer:
    domain, name = request["DomainId"], request["UserProfileName"]
    return {
        "DomainId": domain,
        "UserProfileArn": _arn(platform, f"user-profile/{domain}/{name.lower()}"),
        "UserProfileName": name,
        "Status": "InService",
        "UserSettings": {"ExecutionRole": platform.settings.role_arn},
        **_times(),
    }


@operation("sagemaker", "DescribeSpace")
def describe_space(platform: Platform, request: Request) -> Answer:
    domain, name = request["DomainId"], request["SpaceName"]
    return {
        "DomainId": domain,
        "SpaceArn": _arn(platform, f"space/{domain}/{name.lower()}"),
        "SpaceName": name,
        "Status": "InService",
        **_times(),
    }


def _arn(platform: Platform, resource: str) -> str:
    return platform.settings.arn(resource, region=call().region)


def _times() -> dict[str, Any]:
    return {"CreationTime": CREATED, "LastModifiedTime": CREATED}
