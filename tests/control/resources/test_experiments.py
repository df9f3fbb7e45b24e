"""Experiments, trials and trial components, as programs make them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:"


@pytest.fixture
def pets(sagemaker) -> Any:
    """The experiment ``pets`` with the trials ``one`` and ``two``; ``one`` has the component ``train``."""
    sagemaker.create_experiment(ExperimentName="pets", Description="cats", Tags=[{"Key": "team", "Value": "x"}])
    for trial in ("one", "two"):
        sagemaker.create_trial(TrialName=trial, ExperimentName="pets")
    sagemaker.create_trial_component(TrialComponentName="train", DisplayName="Training")
    sagemaker.associate_trial_component(TrialComponentName="train", TrialName="one")
    return sagemaker


def names(answer: dict[str, Any], what: str) -> list[str]:
    return [one[f"{what}Name"] for one in answer[f"{what}Summaries"]]


def test_experiments(pets, refusal):
    assert pets.describe_experiment(ExperimentName="pets")["ExperimentArn"] == f"{ARN}experiment/pets"
    assert pets.list_tags(ResourceArn=f"{ARN}experiment/pets")["Tags"] == [{"Key": "team", "Value": "x"}]
    pets.update_experiment(ExperimentName="pets", Description="dogs")
    described = pets.describe_experiment(ExperimentName="pets")
    assert (described["DisplayName"], described["Description"]) == ("pets", "dogs")
    pets.create_experiment(ExperimentName="Other", DisplayName="shown")
    assert names(pets.list_experiments(), "Experiment") == ["Other", "pets"]  # the newest first
    assert names(pets.list_experiments(SortBy="Name", SortOrder="Descending"), "Experiment") == ["pets", "Other"]
    assert names(pets.list_experiments(CreatedBefore=datetime.now(UTC) - timedelta(days=1)), "Experiment") == []
    code, message = refusal(pets.create_experiment, ExperimentName="PETS")
    assert (code, "already exists" in message) == ("ValidationException", True)
    for call in (pets.describe_experiment, pets.update_experiment, pets.delete_experiment):
        assert refusal(call, ExperimentName="none") == ("ResourceNotFound", "Experiment 'none' does not exist.")


def test_trials(pets, refusal):
    described = pets.describe_trial(TrialName="one")
    assert (described["TrialArn"], described["ExperimentName"]) == (f"{ARN}experiment-trial/one", "pets")
    pets.update_trial(TrialName="one", DisplayName="first")
    assert pets.describe_trial(TrialName="one")["DisplayName"] == "first"
    pets.create_experiment(ExperimentName="other")
    pets.create_trial(TrialName="three", ExperimentName="other")
    assert names(pets.list_trials(), "Trial") == ["three", "two", "one"]
    assert names(pets.list_trials(ExperimentName="pets"), "Trial") == ["two", "one"]
    assert names(pets.list_trials(TrialComponentName="train"), "Trial") == ["one"]
    assert refusal(pets.list_trials, ExperimentName="none")[0] == "ResourceNotFound"
    assert refusal(pets.create_trial, TrialName="x", ExperimentName="none")[0] == "ResourceNotFound"
    assert "already exists" in refusal(pets.create_trial, TrialName="one", ExperimentName="pets")[1]


def test_components(pets, refusal):
    start = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    pets.update_trial_component(
        TrialComponentName="train",
        Status={"PrimaryStatus": "InProgress", "Message": "begun"},
        StartTime=start,
        Parameters={"rate": {"NumberValue": 0.5}, "old": {"StringValue": "x"}},
        InputArtifacts={"data": {"MediaType": "text/csv", "Value": "s3://bucket/a.csv"}},
    )
    pets.update_trial_component(
        TrialComponentName="train",
        Parameters={"rate": {"NumberValue": 0.25}},
        ParametersToRemove=["old"],
        OutputArtifacts={"model": {"Value": "s3://bucket/m"}},
        InputArtifactsToRemove=["nothing"],
    )
    described = pets.describe_trial_component(TrialComponentName=f"{ARN}experiment-trial-component/train")
    assert described["TrialComponentName"] == "train"
    assert described["DisplayName"] == "Training"
    assert described["Parameters"] == {"rate": {"NumberValue": 0.25}}
    assert described["InputArtifacts"] == {"data": {"MediaType": "text/csv", "Value": "s3://bucket/a.csv"}}
    assert described["OutputArtifacts"] == {"model": {"Value": "s3://bucket/m"}}
    assert described["Status"]["PrimaryStatus"] == "InProgress"
    assert described["StartTime"] == start
    assert described["Metrics"] == []
    many = {f"p{number}": {"NumberValue": 1.0} for number in range(300)}
    code, message = refusal(pets.update_trial_component, TrialComponentName="train", Parameters=many)
    assert (code, "300 at most, and would have 301" in message) == ("ValidationException", True)


def test_lists_of_components(pets, refusal):
    for number in range(12):
        pets.create_trial_component(TrialComponentName=f"c{number:02}")
        pets.associate_trial_component(TrialComponentName=f"c{number:02}", TrialName="two")
    pets.associate_trial_component(TrialComponentName="train", TrialName="two")
    pets.create_trial_component(TrialComponentName="alone")
    assert names(pets.list_trial_components(TrialName="one"), "TrialComponent") == ["train"]
    pages = list(
        pets.get_paginator("list_trial_components").paginate(
            ExperimentName="pets", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 5}
        )
    )
    found = [name for page in pages for name in names(page, "TrialComponent")]
    assert found == [*(f"c{number:02}" for number in range(12)), "train"]  # once, though of two trials
    assert [len(page["TrialComponentSummaries"]) for page in pages] == [5, 5, 3]
    assert names(pets.list_trial_components(MaxResults=1), "TrialComponent") == ["alone"]
    code, message = refusal(pets.list_trial_components, TrialName="one", ExperimentName="pets")
    assert (code, "Only one filter" in message) == ("ValidationException", True)
    assert pets.list_trial_components(SourceArn=f"{ARN}training-job/none")["TrialComponentSummaries"] == []


def test_what_is_used_cannot_be_deleted(pets, refusal):
    assert "still has trials" in refusal(pets.delete_experiment, ExperimentName="pets")[1]
    assert "still has trial components, train" in refusal(pets.delete_trial, TrialName="one")[1]
    code, message = refusal(pets.delete_trial_component, TrialComponentName="train")
    assert (code, "belongs to the trial one" in message) == ("ValidationException", True)
    # As the SDKs clear up.
    pets.disassociate_trial_component(TrialComponentName="train", TrialName="one")
    again = refusal(pets.disassociate_trial_component, TrialComponentName="train", TrialName="one")
    assert again[0] == "ResourceNotFound"
    pets.delete_trial_component(TrialComponentName="train")
    for trial in ("one", "two"):
        pets.delete_trial(TrialName=trial)
    assert pets.delete_experiment(ExperimentName="pets")["ExperimentArn"] == f"{ARN}experiment/pets"
    assert pets.list_experiments()["ExperimentSummaries"] == []


def test_names_are_found_in_any_case(pets):
    """SDK v2 makes its experiments in lower case, and lists their runs by the name that it was given."""
    assert names(pets.list_trial_components(ExperimentName="Pets"), "TrialComponent") == ["train"]
    assert pets.describe_trial(TrialName="ONE")["TrialName"] == "one"


def test_associations_need_both(pets, refusal):
    for missing in (
        {"TrialName": "none", "TrialComponentName": "train"},
        {"TrialName": "one", "TrialComponentName": "x"},
    ):
        assert refusal(pets.associate_trial_component, **missing)[0] == "ResourceNotFound"
    answer = pets.associate_trial_component(TrialComponentName="train", TrialName="one")  # once more
    assert answer["TrialArn"] == f"{ARN}experiment-trial/one"


def test_metrics_of_a_component(pets, clients):
    now = datetime.now(UTC)
    data = [
        {"MetricName": "loss", "Timestamp": now, "Step": step, "Value": value} for step, value in enumerate([4.0, 2.0])
    ]
    data.append({"MetricName": "loss", "Timestamp": now + timedelta(seconds=5), "Step": 2, "Value": 3.0})
    clients("sagemaker-metrics").batch_put_metrics(TrialComponentName="train", MetricData=data)
    (metric,) = pets.describe_trial_component(TrialComponentName="train")["Metrics"]
    assert {name: metric[name] for name in ("MetricName", "Min", "Max", "Last", "Count", "Avg")} == {
        "MetricName": "loss",
        "Min": 2.0,
        "Max": 4.0,
        "Last": 3.0,
        "Count": 3,
        "Avg": 3.0,
    }
    assert metric["StdDev"] == pytest.approx(0.8165, abs=1e-4)
    assert metric["SourceArn"] == f"{ARN}experiment-trial-component/train"
    pets.disassociate_trial_component(TrialComponentName="train", TrialName="one")
    pets.delete_trial_component(TrialComponentName="train")
    pets.create_trial_component(TrialComponentName="train")
    assert pets.describe_trial_component(TrialComponentName="train")["Metrics"] == []


def _search(sagemaker: Any, *filters: tuple[str, str], resource: str = "ExperimentTrialComponent", **more: Any) -> Any:
    expression = {"Filters": [{"Name": name, "Operator": "Equals", "Value": value} for name, value in filters]}
    narrowed = {"SearchExpression": expression} if filters else {}
    return sagemaker.search(Resource=resource, **narrowed, **more)["Results"]


def test_search(pets, clients):
    assert [one["Experiment"]["ExperimentName"] for one in _search(pets, resource="Experiment")] == ["pets"]
    trials = _search(pets, ("ExperimentName", "pets"), resource="ExperimentTrial", SortBy="TrialName")
    assert [one["Trial"]["TrialName"] for one in trials] == ["two", "one"]
    for name, accuracy in (("train", 0.5), ("better", 0.75), ("none", None)):
        if name != "train":
            pets.create_trial_component(TrialComponentName=name, Parameters={"epochs": {"NumberValue": 2}})
            pets.associate_trial_component(TrialComponentName=name, TrialName="two")
        if accuracy is not None:
            data = [{"MetricName": "test:acc.top", "Timestamp": datetime.now(UTC), "Value": accuracy}]
            clients("sagemaker-metrics").batch_put_metrics(TrialComponentName=name, MetricData=data)
    # As Run() asks, and as ExperimentAnalytics does in AWS's own notebooks.
    (found,) = _search(pets, ("TrialComponentName", "train"), ("Parents.TrialName", "one"))
    assert found["TrialComponent"]["Parents"] == [{"TrialName": "one", "ExperimentName": "pets"}]
    assert _search(pets, ("TrialComponentName", "train"), ("Parents.TrialName", "two")) == []
    of = ("Parents.ExperimentName", "pets")
    order = _search(pets, of, SortBy="metrics.test:acc.top.max", SortOrder="Descending")
    assert [one["TrialComponent"]["TrialComponentName"] for one in order] == ["better", "train", "none"]
    assert order[0]["TrialComponent"]["Metrics"][0]["Max"] == 0.75
    (found,) = _search(pets, of, ("DisplayName", "Training"))
    assert found["TrialComponent"]["Parameters"] == {}
    assert len(_search(pets, of, ("Parameters.epochs.NumberValue", "2"))) == 2
