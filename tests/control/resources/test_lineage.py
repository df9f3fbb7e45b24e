"""Artifacts, contexts, actions, and what ties them together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:"


def test_artifacts_are_known_by_their_source(sagemaker, refusal):
    source = {"SourceUri": "s3://bucket/matrix.json", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "abc"}]}
    request = {"Source": source, "ArtifactType": "ConfusionMatrix"}
    arn = sagemaker.create_artifact(ArtifactName="matrix", **request)["ArtifactArn"]
    assert arn.startswith(f"{ARN}artifact/")
    assert sagemaker.create_artifact(ArtifactName="again", **request)["ArtifactArn"] == arn
    newer = {"SourceUri": source["SourceUri"], "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "def"}]}
    other = sagemaker.create_artifact(Source=newer, ArtifactType="ROCCurve")["ArtifactArn"]
    assert other != arn
    described = sagemaker.describe_artifact(ArtifactArn=arn)
    assert (described["ArtifactName"], described["ArtifactType"]) == ("matrix", "ConfusionMatrix")
    assert described["Source"] == source
    sagemaker.update_artifact(ArtifactArn=arn, ArtifactName="new", Properties={"a": "1", "b": "2"})
    sagemaker.update_artifact(ArtifactArn=arn, PropertiesToRemove=["b"])
    described = sagemaker.describe_artifact(ArtifactArn=arn)
    assert (described["ArtifactName"], described["Properties"]) == ("new", {"a": "1"})
    listed = sagemaker.list_artifacts(SourceUri=source["SourceUri"], MaxResults=1)
    assert [one["ArtifactArn"] for one in listed["ArtifactSummaries"]] == [other]  # the newest first
    rest = sagemaker.list_artifacts(SourceUri=source["SourceUri"], MaxResults=1, NextToken=listed["NextToken"])
    assert [one["ArtifactArn"] for one in rest["ArtifactSummaries"]] == [arn]
    assert "NextToken" not in rest
    listed = sagemaker.list_artifacts(ArtifactType="ROCCurve")["ArtifactSummaries"]
    assert [one["ArtifactArn"] for one in listed] == [other]
    assert sagemaker.list_artifacts(SourceUri="s3://elsewhere")["ArtifactSummaries"] == []
    sagemaker.delete_artifact(Source=newer)
    assert refusal(sagemaker.describe_artifact, ArtifactArn=other)[0] == "ResourceNotFound"


def test_contexts_and_actions(sagemaker, refusal):
    source = {"SourceUri": "s3://bucket/x", "SourceType": "Endpoint"}
    arn = sagemaker.create_context(ContextName="served", ContextType="Endpoint", Source=source)["ContextArn"]
    assert arn == f"{ARN}context/served"
    sagemaker.update_context(ContextName="served", Description="told")
    assert sagemaker.describe_context(ContextName=arn)["Description"] == "told"
    assert (
        "already exists" in refusal(sagemaker.create_context, ContextName="served", ContextType="E", Source=source)[1]
    )
    sagemaker.create_action(ActionName="approve", ActionType="Approval", Source=source, Status="InProgress")
    sagemaker.update_action(ActionName="approve", Status="Completed")
    (listed,) = sagemaker.list_actions(CreatedAfter=datetime.now(UTC) - timedelta(hours=1))["ActionSummaries"]
    assert (listed["ActionName"], listed["Status"]) == ("approve", "Completed")
    assert sagemaker.list_contexts(ContextType="Model")["ContextSummaries"] == []
    sagemaker.delete_action(ActionName="approve")
    sagemaker.delete_context(ContextName="served")
    assert sagemaker.list_contexts()["ContextSummaries"] == []


def test_associations(sagemaker, refusal):
    component = sagemaker.create_trial_component(TrialComponentName="train")["TrialComponentArn"]
    made = sagemaker.create_artifact(Source={"SourceUri": "s3://bucket/m"}, ArtifactType="Model", ArtifactName="m")
    given = sagemaker.create_artifact(Source={"SourceUri": "s3://bucket/d"}, ArtifactType="DataSet")
    model, data = made["ArtifactArn"], given["ArtifactArn"]
    out = {"SourceArn": component, "DestinationArn": model}
    sagemaker.add_association(**out, AssociationType="Produced")
    sagemaker.add_association(SourceArn=data, DestinationArn=component, AssociationType="ContributedTo")
    code, message = refusal(sagemaker.add_association, **out, AssociationType="Produced")
    assert (code, "already exists" in message) == ("ValidationException", True)
    assert refusal(sagemaker.add_association, SourceArn=data, DestinationArn=f"{model}x")[0] == "ResourceNotFound"
    (found,) = sagemaker.list_associations(SourceArn=component)["AssociationSummaries"]
    assert (found["DestinationName"], found["DestinationType"], found["AssociationType"]) == ("m", "Model", "Produced")
    (found,) = sagemaker.list_associations(SourceType="DataSet")["AssociationSummaries"]
    assert (found["SourceArn"], found["DestinationName"]) == (data, "train")
    pages = list(sagemaker.get_paginator("list_associations").paginate(PaginationConfig={"PageSize": 1}))
    assert [page["AssociationSummaries"][0]["SourceArn"] for page in pages] == [data, component]
    assert "still has associations" in refusal(sagemaker.delete_artifact, ArtifactArn=model)[1]
    sagemaker.delete_association(**out)
    assert refusal(sagemaker.delete_association, **out)[0] == "ResourceNotFound"
    sagemaker.delete_artifact(ArtifactArn=model)


def test_a_component_of_a_trial_has_no_association_by_that(sagemaker):
    sagemaker.create_experiment(ExperimentName="e")
    sagemaker.create_trial(TrialName="t", ExperimentName="e")
    sagemaker.create_trial_component(TrialComponentName="c")
    sagemaker.associate_trial_component(TrialComponentName="c", TrialName="t")
    assert sagemaker.list_associations()["AssociationSummaries"] == []
