"""sts, iam, and the lookups of notebooks: who am I, and which role is mine?"""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ACCOUNT = "000000000000"


def test_the_caller_is_a_session_of_the_role(platform, clients):
    answer = clients("sts").get_caller_identity()
    assert answer["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ClaryRole/clary"
    assert answer["Account"] == ACCOUNT
    # what the SDK makes of it must be the role the platform itself names
    name = answer["Arn"].split("/")[1]
    assert clients("iam").get_role(RoleName=name)["Role"]["Arn"] == platform.settings.role_arn


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.from_regex(r"[a-zA-Z0-9_+=,.@-]{1,64}", fullmatch=True))
def test_any_role_is_there(platform, clients, name):
    role = clients("iam").get_role(RoleName=name)["Role"]
    assert (role["RoleName"], role["Arn"]) == (name, f"arn:aws:iam::{ACCOUNT}:role/{name}")
    assert role["CreateDate"].year == 2020
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")


def test_a_name_no_role_can_have_is_refused(platform, clients, refusal):
    code, message = refusal(clients("iam").get_role, RoleName="a b")
    assert code == "ValidationError"
    assert "'roleName'" in message


def test_roles_can_be_made_again_and_given_policies(platform, clients):
    iam = clients("iam")
    for _ in range(2):
        role = iam.create_role(RoleName="Mine", Path="/service-role/", AssumeRolePolicyDocument=json.dumps({}))["Role"]
        assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service-role/Mine"
        iam.attach_role_policy(RoleName="Mine", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    iam.put_role_policy(RoleName="Mine", PolicyName="p", PolicyDocument="{}")
    attached = iam.list_attached_role_policies(RoleName="Mine")["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["AmazonSageMakerFullAccess"]
    iam.detach_role_policy(RoleName="Mine", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    iam.delete_role(RoleName="Mine")
    assert [role["Arn"] for role in iam.list_roles()["Roles"]] == [platform.settings.role_arn]


def test_everything_is_allowed(platform, clients):
    simulate = clients("iam").simulate_principal_policy
    answer = simulate(PolicySourceArn=platform.settings.role_arn, ActionNames=["s3:PutObject", "iam:PassRole"])
    assert [(r["EvalActionName"], r["EvalDecision"]) for r in answer["EvaluationResults"]] == [
        ("s3:PutObject", "allowed"),
        ("iam:PassRole", "allowed"),
    ]
    assert answer["IsTruncated"] is False
    answer = simulate(
        PolicySourceArn=platform.settings.role_arn, ActionNames=["s3:PutObject"], ResourceArns=["arn:a", "arn:b"]
    )
    assert [result["EvalResourceName"] for result in answer["EvaluationResults"]] == ["arn:a", "arn:b"]


@pytest.mark.parametrize("path", ["/", "/a/b/"])
def test_trust_is_url_encoded_on_the_wire(platform, path):
    from clary.control.resources.iam import TRUST, create_role

    answer = create_role(platform, {"RoleName": "a", "Path": path})
    assert answer is not None
    assert answer["Role"]["AssumeRolePolicyDocument"] == quote(json.dumps(TRUST))


def test_notebooks_have_the_role(platform, sagemaker):
    role = platform.settings.role_arn
    notebook = sagemaker.describe_notebook_instance(NotebookInstanceName="My-Notebook")
    assert (notebook["RoleArn"], notebook["NotebookInstanceStatus"]) == (role, "InService")
    assert notebook["NotebookInstanceArn"] == f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:notebook-instance/my-notebook"
    profile = sagemaker.describe_user_profile(DomainId="d-1", UserProfileName="me")
    assert profile["UserSettings"]["ExecutionRole"] == role
    domain = sagemaker.describe_domain(DomainId="d-1")
    assert domain["DefaultUserSettings"]["ExecutionRole"] == role
    assert sagemaker.describe_space(DomainId="d-1", SpaceName="mine")["Status"] == "InService"
