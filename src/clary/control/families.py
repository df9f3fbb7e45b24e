"""What of SageMaker, and of the services around it, is not here: each family by its name, and what to do instead.

Found by what a program says first: an operation, a service, an image, a bucket. Refusals end with it, and
docs/coverage.md lists it. A family that comes to be answered takes its words out, or all of itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FAMILIES", "Family", "of_bucket", "of_image", "of_operation", "of_service"]

_STEPS = "call the steps from the program itself, one after the other: CreateTrainingJob, CreateModel, CreateEndpoint"
_COMPARE = "`clary jobs`, ListTrainingJobs and Search list the jobs; each has its FinalMetricDataList and metrics"
_IMAGES = "clary.toml says what an image of your own stands for; those of AWS that run here are known without"
_MEASURE = "measure the model on pictures of today with `clary evaluate`"
_SCRIPT = "bring a script: the estimators PyTorch, TensorFlow, HuggingFace, SKLearn and XGBoost run it"


@dataclass(frozen=True, slots=True)
class Family:
    """``instead`` is what to do, in the present tense, of today.

    Patterns: ``operations`` is searched in the names of sagemaker's operations, ``images`` fits a whole repository,
    ``buckets`` a whole name of a bucket. ``services`` are the names by which requests are signed.
    """

    name: str
    instead: str
    operations: str = ""
    images: str = ""
    buckets: str = ""
    services: tuple[str, ...] = ()


# The first that fits counts.
FAMILIES = (
    Family(
        "Clarify",
        "look at what a model gets wrong: `clary evaluate` and `clary report` show it per class, with examples",
        operations="ModelBias|ModelExplainability",
        images="sagemaker-clarify-processing",
    ),
    Family("Model Monitor", _MEASURE, "Monitoring|DataQuality|ModelQuality", "sagemaker-model-monitor-analyzer"),
    Family(
        "Debugger's rules",
        "look at the metrics of the job: no rule watches it",
        images="sagemaker-debugger-rules|sagemaker-debugger-rule-evaluator|detailed-profiler-processing",
    ),
    Family(
        "Spark and Data Wrangler",
        "prepare the data by a program of its own; `clary data` converts, splits and checks sets of pictures",
        images="sagemaker-spark-processing|sagemaker-data-wrangler-container",
    ),
    Family(
        "batch transform",
        "create an endpoint and call InvokeEndpoint for each object, or fetch the model and run "
        "`clary predict MODEL PICTURES`",
        operations="TransformJob",
    ),
    Family(
        "automatic model tuning",
        "call CreateTrainingJob for each choice of hyperparameters and compare the FinalMetricDataList of "
        "DescribeTrainingJob",
        operations="HyperParameterTuningJob",
    ),
    Family("Pipelines", _STEPS, operations="Pipeline"),
    Family("projects", _STEPS, operations="Project|Service[Cc]atalog"),
    Family("Step Functions and CodePipeline", _STEPS, services=("states", "codepipeline")),
    Family(
        "Ground Truth",
        "label with a tool that writes COCO, VOC, YOLO or an augmented manifest, all of which are read here "
        "(`clary data layouts`)",
        operations="Label|Work(team|force)|HumanTask|FlowDefinition|HumanLoop|UiTemplate",
        services=("sagemaker-a2i-runtime",),
    ),
    Family(
        "Autopilot",
        "call CreateTrainingJob with one of the images image-classification, object-detection and "
        "semantic-segmentation, or run `clary train TASK FOLDER`",
        operations="AutoML",
        images="autogluon-.*",
    ),
    Family(
        "Neo",
        "deploy the model as it is: it is compiled for this machine when it is loaded",
        operations="CompilationJob",
        images=r".+-neo|sagemaker-(neo|inference)-.+",
    ),
    Family(
        "Edge Manager",
        "copy model.tar.gz to the device and run `clary serve` there",
        operations="Edge|Device",
        services=("sagemaker-edge",),
    ),
    Family(
        "Feature Store",
        "keep the values as objects of S3, in a file that the program reads",
        operations="Feature",
        services=("sagemaker-featurestore-runtime",),
    ),
    Family(
        "shadow tests",
        "give the endpoint a shadow variant, or several variants with weights",
        operations="InferenceExperiment|InferenceRouter",
    ),
    Family(
        "lineage queries",
        "call ListAssociations from one entity to the next: each names what it came from and what came of it",
        operations="Lineage",
    ),
    Family("MLflow", f"{_COMPARE}; an MLflow server beside it works as anywhere", operations="Mlflow|Tracking"),
    Family("search by suggestion", _COMPARE, operations="SearchSuggestions"),
    Family(
        "inference components",
        "name the model in the variant (ModelName), one endpoint a model",
        operations="InferenceComponent",
    ),
    Family(
        "Inference Recommender",
        "measure the endpoint with the calls you expect; it is served by the fastest engine that agrees with the "
        "trained network",
        operations="InferenceRecommendations|OptimizationJob|AIBenchmark|AIRecommendation|AIWorkload|ModelMetadata"
        "|ScalingConfigurationRecommendation",
    ),
    Family("model cards", "UpdateModelPackage keeps a ModelCard with a model package", operations="ModelCard"),
    Family(
        "HyperPod and training plans",
        "leave it out: jobs run on this machine, as many at once as it bears",
        operations="Cluster|ComputeQuota|TrainingPlan|Reserved",
    ),
    Family(
        "JumpStart",
        "train one of the images image-classification, object-detection and semantic-segmentation with "
        "use_pretrained_model=1 on the same pictures, or fetch the files where AWS can be reached and upload them to a "
        "bucket here",
        operations="Hub",
        buckets="jumpstart-(cache|private)-.*",
    ),
    Family(
        "Studio and notebook instances",
        "`clary lab` opens notebooks with role, session and default bucket",
        operations="Notebook|Studio|Domain|UserProfile|Space|App|CodeRepositor|LifecycleConfig|PresignedUrl|StartSession"
        "|ResourceCatalogs|Aliases",
        images="sagemaker-distribution-prod",
    ),
    Family("algorithm resources", "name a TrainingImage in AlgorithmSpecification", operations="Algorithm"),
    Family("images", _IMAGES, operations="Image"),
    Family("container registries", f"no image is built, pushed or pulled here: {_IMAGES}", services=("ecr",)),
    Family("CodeBuild", f"no image is built here: {_IMAGES}", services=("codebuild",)),
    Family(
        "resource policies",
        "leave the policy out: whoever may call the platform may call all of it",
        operations="Policy$",
    ),
    Family("batches of model packages", "call DescribeModelPackage for each", operations="BatchDescribeModelPackage"),
    Family(
        "serverless customisation",
        "call CreateTrainingJob",
        operations="(Create|Describe|List|Stop|Delete)(Job|TrainingSession)|JobSchemaVersion",
    ),
    Family(
        "built-in algorithms for tables, text and series",
        _SCRIPT,
        images="blazingtext|factorization-machines|forecasting-deepar|ipinsights|k(means|nn)|lda|linear-learner|ntm"
        "|object2vec|pca|randomcutforest|seq2seq|xgboost|sagemaker-sparkml-serving|sagemaker-geospatial.*",
    ),
    Family("reinforcement learning", _SCRIPT, images="sagemaker-rl-.*"),
    Family(
        "Triton",
        "deploy the model itself, by one of the images that serve here",
        images="sagemaker-tritonserver",
    ),
    Family(
        "servers of language models",
        "serve the model by a program of its own: they need more than a process of this machine",
        images=r"huggingface-.*(tgi|vllm).*|tei(-cpu)?|stabilityai-.*",
    ),
    Family(
        "Lambda",
        "call the function from the program itself; an endpoint is called by InvokeEndpoint",
        services=("lambda",),
    ),
    Family("EventBridge", "wait for a job by a waiter, or look at DescribeTrainingJob", services=("events",)),
    Family("EventBridge's scheduler", "start the program by the machine's own cron", services=("scheduler",)),
)


def of_operation(name: str) -> Family | None:
    """The family of sagemaker's operation ``name``."""
    return next((one for one in FAMILIES if one.operations and re.search(one.operations, name)), None)


def of_service(name: str) -> Family | None:
    """The family of the service that signs as ``name``."""
    return next((one for one in FAMILIES if name in one.services), None)


def of_image(repository: str) -> Family | None:
    """The family of AWS's image, by its repository."""
    return next((one for one in FAMILIES if one.images and re.fullmatch(one.images, repository)), None)


def of_bucket(name: str) -> Family | None:
    """The family whose files AWS keeps in the bucket ``name``."""
    return next((one for one in FAMILIES if one.buckets and re.fullmatch(one.buckets, name)), None)
