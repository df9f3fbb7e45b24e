"""What to do instead of an operation, or a service, that is not answered here: the end of the refusal."""

from __future__ import annotations

import re

from clary.control.wire.operation import OPERATIONS
from clary.control.wire.services import Description
from clary.wording import similar_names

__all__ = ["of_operation", "of_service"]

STEPS = "call the steps from the program itself, one after the other: CreateTrainingJob, CreateModel, CreateEndpoint"
LAB = "`clary lab` opens notebooks with role, session and default bucket"
COMPARE = "`clary jobs`, ListTrainingJobs and Search list the jobs; each has its FinalMetricDataList and metrics"
IMAGES = "the images image-classification, object-detection and semantic-segmentation are there without one"

# By a pattern of the operation's name, the first that matches; what stands behind is said in the present tense, of
# today. A kind of job that comes later takes its line out.
_SAGEMAKER = {
    "TransformJob": "create an endpoint and call InvokeEndpoint for each object, or fetch the model and run "
    "`clary predict MODEL PICTURES`",
    "HyperParameterTuningJob": "call CreateTrainingJob for each choice of hyperparameters and compare the "
    "FinalMetricDataList of DescribeTrainingJob",
    "Pipeline": STEPS,
    "Label|Work(team|force)|HumanTask|FlowDefinition|HumanLoop|UiTemplate": "label with a tool that writes "
    "COCO, VOC, YOLO or an augmented manifest, all of which are read here (`clary data layouts`)",
    "AutoML": "call CreateTrainingJob with one of the images image-classification, object-detection and "
    "semantic-segmentation, or run `clary train TASK FOLDER`",
    "CompilationJob|Edge|Device": "deploy the model as it is: it is compiled for this machine when it is loaded",
    "Monitoring|DataQuality|ModelQuality|ModelBias|ModelExplainability": "measure the model on pictures of today with "
    "`clary evaluate`",
    "Feature": "keep the values as objects of S3, in a file that the program reads",
    "Experiment|Trial|Action|Artifact|Context|Lineage|Association|Mlflow|Tracking": COMPARE,
    "InferenceComponent": "name the model in the variant (ModelName), one endpoint a model",
    "InferenceRecommendations|OptimizationJob|AIBenchmark|AIRecommendation|AIWorkload": "measure the endpoint with the "
    "calls you expect; it is served by the fastest engine that agrees with the trained network",
    "ModelCard": "UpdateModelPackage keeps a ModelCard with a model package",
    "Cluster|ComputeQuota|TrainingPlan|Reserved": "leave it out: jobs run on this machine, as many at once as it bears",
    "Notebook|Studio|Domain|UserProfile|Space|App|CodeRepositor|LifecycleConfig|PresignedUrl|StartSession": LAB,
    "Algorithm": "name a TrainingImage in AlgorithmSpecification",
    "Image": IMAGES,
    "Hub|Marketplace|PublicDataset": "fetch the files where AWS can be reached and upload them to a bucket here",
    "Project|Service[Cc]atalog": STEPS,
    "Policy$": "leave the policy out: whoever may call the platform may call all of it",
    "BatchDescribeModelPackage": "call DescribeModelPackage for each",
    "InferenceRouter": "give one endpoint several variants with weights",
    "(Create|Describe|List|Stop|Delete)(Job|TrainingSession)": "call CreateTrainingJob",
}
_SERVICES = {
    "ecr": f"no image is built, pushed or pulled here: {IMAGES}",
    "lambda": "call the function from the program itself; an endpoint is called by InvokeEndpoint",
    "states": STEPS,
    "events": "wait for a job by a waiter, or look at DescribeTrainingJob",
    "scheduler": "start the program by the machine's own cron",
    "codebuild": f"no image is built here: {IMAGES}",
    "codepipeline": STEPS,
    "application-autoscaling": "UpdateEndpointWeightsAndCapacities changes how many instances a variant has",
    "sagemaker-featurestore-runtime": _SAGEMAKER["Feature"],
    "sagemaker-edge": _SAGEMAKER["CompilationJob|Edge|Device"],
    "sagemaker-a2i-runtime": _SAGEMAKER["Label|Work(team|force)|HumanTask|FlowDefinition|HumanLoop|UiTemplate"],
}
_LIST = "docs/reference/operations.md lists what is answered"
_ELSEWHERE = "it is on AWS only: call it from a program outside of `clary run` and `clary env`"


def of_operation(description: Description, name: str) -> str:
    """The way around the operation ``name``, which nobody answers; the nearest names for one that there is not."""
    service = description.service
    if name not in description.operations:
        answered = [operation for known, operation in OPERATIONS if known == service]
        near = similar_names(name, [*answered, *description.operations])
        return f"is {near[0]} meant?" if near else _LIST
    table = _SAGEMAKER if service == "sagemaker" else {}
    found = next((text for pattern, text in table.items() if re.search(pattern, name)), "")
    return found or _SERVICES.get(service, _LIST)


def of_service(name: str) -> str:
    """The way around the service that signs as ``name``."""
    return _SERVICES.get(name, _ELSEWHERE)
