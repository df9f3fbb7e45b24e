"""Roles. None is stored: there is nobody to guard anything from, so every role that is asked for is there, may be
assumed by SageMaker, and may do everything. Programs name the roles of their own account, and must run all the same.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from clary.control.platform import Platform
from clary.control.settings import ROLE
from clary.control.wire.operation import Answer, Request, operation

__all__ = ["CREATED"]

CREATED = 1_577_836_800.0  # epoch seconds: what was always there was made on the first day of 2020
# SDK v3 reads it and gives up on a role that SageMaker may not assume.
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
POLICY = "AmazonSageMakerFullAccess"


@operation("iam", "GetRole")
def get_role(platform: Platform, request: Request) -> Answer:
    return {"Role": _role(platform, request["RoleName"])}


@operation("iam", "CreateRole")
def create_role(platform: Platform, request: Request) -> Answer:
    """Never EntityAlreadyExists: a program that makes its role first runs a second time, too."""
    return {"Role": _role(platform, request["RoleName"], request.get("Path", "/"))}


@operation("iam", "ListRoles")
def list_roles(platform: Platform, request: Request) -> Answer:
    """The one role that the platform itself names."""
    return {"Roles": [_role(platform, ROLE)], "IsTruncated": False}


@operation("iam", "AttachRolePolicy")
def attach_role_policy(platform: Platform, request: Request) -> Answer:
    return {}


@operation("iam", "DetachRolePolicy")
def detach_role_policy(platform: Platform, request: Request) -> Answer:
    return {}


@operation("iam", "PutRolePolicy")
def put_role_policy(platform: Platform, request: Request) -> Answer:
    return {}


@operation("iam", "DeleteRole")
def delete_role(platform: Platform, request: Request) -> Answer:
    return {}


@operation("iam", "ListAttachedRolePolicies")
def list_attached_role_policies(platform: Platform, request: Request) -> Answer:
    policy = {"PolicyName": POLICY, "PolicyArn": f"arn:aws:iam::aws:policy/{POLICY}"}
    return {"AttachedPolicies": [policy], "IsTruncated": False}


@operation("iam", "SimulatePrincipalPolicy")
def simulate_principal_policy(platform: Platform, request: Request) -> Answer:
    """SDK v3 asks this before each upload and job; anything but "allowed" makes it give up."""
    results = [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
        for action in request["ActionNames"]
        for resource in request.get("ResourceArns") or ["*"]
    ]
    return {"EvaluationResults": results, "IsTruncated": False}


def _role(platform: Platform, name: str, path: str = "/") -> dict[str, Any]:
    return {
        "Path": path,
        "RoleName": name,
        "RoleId": f"AROA{''.join(c for c in name.upper() if c.isalnum()):A<16}",
        "Arn": f"arn:aws:iam::{platform.settings.account}:role{path}{name}",
        "CreateDate": CREATED,
        # Percent-encoded, as IAM sends it; clients decode it before they read JSON.
        "AssumeRolePolicyDocument": quote(json.dumps(TRUST)),
        "Description": "A role of Clary, which may do everything",
        "MaxSessionDuration": 3600,
    }
