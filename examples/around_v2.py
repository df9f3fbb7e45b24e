"""What notebooks do around a job, with SDK v2: a run that holds it, what came of it in a table, the registry, a package
deployed.

    python around_v2.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as examples/prepare.py does it; NAME=VALUE are further hyperparameters.
"""

import sys
import time
from pathlib import Path

import boto3
import sagemaker
from sagemaker import ModelPackage, image_uris
from sagemaker.analytics import ExperimentAnalytics
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.experiments import Run, list_runs, load_run
from sagemaker.inputs import TrainingInput
from sagemaker.predictor import Predictor
from sagemaker.serializers import IdentitySerializer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])
session = sagemaker.Session()
role = sagemaker.get_execution_role()
experiment_name = "Pets-Experiment"

channels = {
    name: TrainingInput(
        session.upload_data(str(folder / name), key_prefix=f"around-v2/{name}"), content_type="application/x-image"
    )
    for name in ("train", "validation", "train_lst", "validation_lst")
}
estimator = Estimator(
    image_uris.retrieve("image-classification", session.boto_region_name),
    role,
    instance_count=1,
    instance_type="ml.p3.2xlarge",
    keep_alive_period_in_seconds=600,
    sagemaker_session=session,
)
estimator.set_hyperparameters(num_layers=18, num_classes=3, num_training_samples=24, learning_rate=0.01, **given)

with Run(experiment_name=experiment_name, run_name="first", sagemaker_session=session) as run:
    run.log_parameters({"learning_rate": 0.01, "optimizer": "sgd"})
    run.log_file(str(folder / "train_lst" / "train.lst"), name="list", is_output=False)
    for epoch in range(12):
        run.log_metric(name="val:loss", value=1 / (epoch + 1), step=epoch)
    estimator.fit(channels, logs=False)
    run.log_artifact("model", estimator.model_data)

with load_run(experiment_name=experiment_name, run_name="first", sagemaker_session=session) as run:
    run.log_parameter("seen", "again")
print("runs", [run.run_name for run in list_runs(experiment_name=experiment_name, sagemaker_session=session)])

job = estimator.latest_training_job.name
described = session.describe_training_job(job)
print("config", described["ExperimentConfig"], "pool", described["WarmPoolStatus"]["Status"])
table = ExperimentAnalytics(
    experiment_name=experiment_name.lower(),
    sagemaker_session=session,
    sort_by="metrics.validation:accuracy.max",
    sort_order="Descending",
).dataframe()
print("table", table["TrialComponentName"].tolist() == [f"{job}-aws-training-job", "pets-experiment-first"])
row = table.set_index("TrialComponentName")
print("run row", dict(row.loc["pets-experiment-first", ["optimizer", "seen", "val:loss - Count", "val:loss - Last"]]))
print("job row", dict(row.loc[f"{job}-aws-training-job", ["SageMaker.InstanceType", "num_classes"]]))
print("job metric", 0 <= row.loc[f"{job}-aws-training-job", "validation:accuracy - Max"] <= 1)

package = estimator.register(
    content_types=["image/jpeg"],
    response_types=["application/json"],
    inference_instances=["ml.m5.xlarge"],
    transform_instances=["ml.m5.xlarge"],
    image_uri=estimator.training_image_uri(),
    model_package_group_name="pets",
    approval_status="PendingManualApproval",
)
print("package", package.model_package_arn)
endpoint = f"around-{int(time.time())}"
ModelPackage(role=role, model_package_arn=package.model_package_arn, sagemaker_session=session).deploy(
    initial_instance_count=1, instance_type="ml.m5.xlarge", endpoint_name=endpoint
)
predictor = Predictor(endpoint, session, IdentitySerializer("image/jpeg"), JSONDeserializer())
sm = session.sagemaker_client
try:
    print("approved", sm.describe_model_package(ModelPackageName=package.model_package_arn)["ModelApprovalStatus"])
    picture = next((folder / "validation").rglob("*.jpg"))
    print("scores", len(predictor.predict(picture.read_bytes())))
    scaling = boto3.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    scaling.put_scaling_policy(
        **target,
        PolicyName="invocations",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 100.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        },
    )
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    print("policies", [policy["PolicyName"] for policy in policies])
    scaling.deregister_scalable_target(**target)
finally:
    predictor.delete_endpoint()

try:
    sm.delete_model_package_group(ModelPackageGroupName="pets")
except sm.exceptions.ConflictException as error:
    print("refused", "still contains Model Package" in str(error))
sm.delete_model_package(ModelPackageName=package.model_package_arn)
sm.delete_model_package_group(ModelPackageGroupName="pets")
