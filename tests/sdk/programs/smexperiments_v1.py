"""The smexperiments package of 2020 beside SDK v1: an experiment, a trial, a tracker, and clearing up after it."""

import tempfile
import time
from pathlib import Path

import boto3
from smexperiments.experiment import Experiment
from smexperiments.search_expression import Filter, Operator, SearchExpression
from smexperiments.tracker import Tracker
from smexperiments.trial import Trial
from smexperiments.trial_component import TrialComponent

session = boto3.Session()
sm = session.client("sagemaker")
bucket = "smexperiments"
session.client("s3").create_bucket(Bucket=bucket)
file = Path(tempfile.mkdtemp()) / "data.csv"
file.write_text("1,2\n")

experiment = Experiment.create(
    experiment_name=f"mnist-hand-written-digits-classification-{int(time.time())}",
    description="Classification of mnist hand-written digits",
    sagemaker_boto_client=sm,
)
with Tracker.create(display_name="Preprocessing", sagemaker_boto_client=sm, artifact_bucket=bucket) as tracker:
    tracker.log_parameters({"normalization_mean": 0.1307, "normalization_std": 0.3081, "kind": "mnist"})
    tracker.log_input(name="mnist-dataset", media_type="s3/uri", value=f"s3://{bucket}/mnist")
    tracker.log_artifact(str(file), name="table")
preprocessing = tracker.trial_component

for channels in (2, 5):
    trial = Trial.create(
        trial_name=f"cnn-training-job-{channels}-hidden-channels",
        experiment_name=experiment.experiment_name,
        sagemaker_boto_client=sm,
    )
    trial.add_trial_component(preprocessing)

print("trials", sorted(trial.trial_name for trial in experiment.list_trials()))
print("components", [one.display_name for one in trial.list_trial_components()])
loaded = Tracker.load(trial_component_name=preprocessing.trial_component_name, sagemaker_boto_client=sm)
print("parameters", loaded.trial_component.parameters)
print("status", loaded.trial_component.status.primary_status, sorted(loaded.trial_component.output_artifacts))
named = Filter(name="Parents.ExperimentName", operator=Operator.EQUALS, value=experiment.experiment_name)
expression = SearchExpression(filters=[named])
found = TrialComponent.search(search_expression=expression, sagemaker_boto_client=sm)
print("found", [one.display_name for one in found])

experiment.delete_all(action="--force")
print("left", [one.trial_component_name for one in TrialComponent.list(sagemaker_boto_client=sm, source_arn="arn:x:y")])
print(
    "gone", experiment.experiment_name not in {one.experiment_name for one in Experiment.list(sagemaker_boto_client=sm)}
)
