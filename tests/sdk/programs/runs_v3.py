"""Runs with SDK v3: parameters, metrics, files and graphs, as its notebooks log them; its resources of the registry."""

import json
import tempfile
from pathlib import Path

from sagemaker.core.experiments.run import Run, list_runs, load_run
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import ModelPackageGroup, TrialComponent

session = Session()
folder = Path(tempfile.mkdtemp())
(folder / "notes.txt").write_text("what was tried")

truth, found, scores = [0, 1, 1, 0, 1], [0, 1, 0, 0, 1], [0.1, 0.9, 0.4, 0.2, 0.8]
for number in range(2):
    with Run(experiment_name="graphs", run_name=f"run-{number}", sagemaker_session=session) as run:
        run.log_parameter("number", number)
        for step in range(3):
            run.log_metric("loss", 1.0 / (step + 1), step=step)
        run.log_file(str(folder / "notes.txt"), name="notes")
        run.log_confusion_matrix(truth, found, title="matrix")
        run.log_precision_recall(truth, scores, title="curve", no_skill=0.5)
        run.log_roc_curve(truth, scores, title="roc")

# A second time, as a notebook that is run again does: what is there is loaded.
with Run(experiment_name="graphs", run_name="run-0", sagemaker_session=session) as run:
    run.log_metric("loss", 0.25, step=3)
    with load_run(sagemaker_session=session) as same:
        same.log_parameter("again", "yes")

print("runs", sorted(run.run_name for run in list_runs(experiment_name="graphs", sagemaker_session=session)))
client = session.sagemaker_client
component = client.describe_trial_component(TrialComponentName="graphs-run-0")
print("parameters", component["Parameters"]["again"], component["Parameters"]["number"])
print("metrics", [(one["MetricName"], one["Count"], one["Last"]) for one in component["Metrics"]])
print("status", component["Status"]["PrimaryStatus"], list(component["OutputArtifacts"]))
tied = client.list_associations(SourceArn=component["TrialComponentArn"])["AssociationSummaries"]
print("graphs", sorted(one["DestinationType"] for one in tied))
artifact = client.describe_artifact(
    ArtifactArn=next(a for a in tied if a["DestinationName"] == "matrix")["DestinationArn"]
)
bucket, _, key = artifact["Source"]["SourceUri"].removeprefix("s3://").partition("/")
stored = session.boto_session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
print("matrix", json.loads(stored)["confusionMatrix"])

# The same by v3's typed resources, and a group of the registry.
typed = TrialComponent.get(trial_component_name="graphs-run-1")
print("typed", typed.status.primary_status, typed.metrics[0].metric_name, typed.metrics[0].count)
group = ModelPackageGroup.create(model_package_group_name="typed", model_package_group_description="by v3")
print("group", group.model_package_group_status, group.model_package_group_description)
group.delete()
