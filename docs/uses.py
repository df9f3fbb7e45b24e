"""What people do with SageMaker, and how far it goes here: the words of docs/coverage.md that no code can tell.

A row's ``needs`` are looked up in the code; where one of them is missing, the page says `refused` and what to do
instead, whatever the row says. So a row may be written before its operation is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CLASSES", "IMAGES", "USES", "Status", "Use"]

Status = Literal["runs", "in part", "no effect", "refused"]


@dataclass(frozen=True, slots=True)
class Use:
    """``needs``: an operation of sagemaker (`CreateModel`); `service:NAME` that is answered; `field:NAME` of a request
    that has an effect, `without:NAME` that has none; `training:IMAGE` or `inference:IMAGE` that stands for something
    here. ``family`` is that of control/families.py whose advice is given, ``instead`` what to do where nothing else
    tells it.
    """

    what: str
    status: Status
    line: str
    needs: tuple[str, ...] = ()
    family: str = ""
    instead: str = ""


USES: dict[str, tuple[Use, ...]] = {
    "Train": (
        Use(
            "a built-in algorithm for pictures",
            "runs",
            "image-classification, object-detection, semantic-segmentation: SageMaker's hyperparameters, log lines, "
            "metrics and error texts",
            ("training:image-classification:1", "CreateTrainingJob"),
        ),
        Use(
            "a PyTorch script",
            "runs",
            "in the PyTorch that Clary has, whatever version is asked for; the log says so",
            ("training:pytorch-training:2.1-cpu-py310",),
        ),
        Use(
            "a TensorFlow script",
            "runs",
            "in an environment made by the first job; one that asks for a version before 2.16 gets Keras 2 as tf.keras",
            ("training:tensorflow-training:2.13-cpu-py310",),
        ),
        Use(
            "a Hugging Face script",
            "runs",
            "with transformers, datasets and accelerate; models of the hub where it is in reach",
            ("training:huggingface-pytorch-training:2.0-transformers4.28-gpu-py310",),
        ),
        Use(
            "a scikit-learn or XGBoost script",
            "runs",
            "in an environment made by the first job",
            ("training:sagemaker-scikit-learn:1.2-1-cpu-py3", "training:sagemaker-xgboost:1.5-1"),
        ),
        Use("an image of your own", "in part", "where `clary.toml` says which environment or command it stands for"),
        Use("several hosts", "in part", "`instance_count` is kept; one host gets all of the data and does the work"),
        Use(
            "`distribution`",
            "in part",
            "`torch_distributed` starts torchrun on one host; any other runs the script once, and the log says so",
        ),
        Use("File, FastFile and Pipe mode", "runs", "S3 prefixes, manifests, augmented manifests; RecordIO, shuffling"),
        Use(
            "EFS and FSx as input",
            "in part",
            "where `clary.toml` says which folder a file system is",
            ("field:FileSystemDataSource",),
            instead="put the data into a bucket, which is a folder here",
        ),
        Use("checkpoints", "runs", "`checkpoint_s3_uri` is kept in step while the job runs, and read at its start"),
        Use("spot training", "no effect", "nothing interrupts a job here"),
        Use("warm pools", "no effect", "a job starts in under a second"),
        Use("metrics from the log", "runs", "`MetricDefinitions`, CloudWatch, `TrainingJobAnalytics`"),
        Use(
            "Debugger and Profiler",
            "no effect",
            "rules and configurations are kept and given back; scripts may import smdebug, which saves nothing",
            ("without:DebugRuleConfigurations", "without:DisableProfiler"),
        ),
        Use("TensorBoard output", "runs", "what the script writes there is kept in step with the bucket"),
        Use(
            "VPC, network isolation, keys, roles",
            "no effect",
            "everything is this machine's",
            ("without:VpcConfig", "without:KmsKeyId"),
        ),
        Use(
            "automatic model tuning",
            "runs",
            "",
            ("CreateHyperParameterTuningJob",),
        ),
    ),
    "Serve": (
        Use(
            "a model of a built-in algorithm",
            "runs",
            "pictures in, SageMaker's JSON out; JSON lines and protobuf records where AWS has them",
            ("inference:image-classification:1", "CreateEndpoint"),
        ),
        Use(
            "PyTorch with `inference.py`",
            "runs",
            "model_fn, input_fn, predict_fn, output_fn, transform_fn and their defaults; `code/requirements.txt`",
            ("inference:pytorch-inference:2.1-cpu-py310",),
        ),
        Use(
            "TensorFlow's SavedModel, `inference.py`",
            "runs",
            "TensorFlow Serving's REST forms, input_handler and output_handler",
            ("inference:tensorflow-inference:2.13-cpu",),
        ),
        Use(
            "Hugging Face, scikit-learn, XGBoost",
            "runs",
            "with an `inference.py`, or what their toolkits do without one (scikit-learn wants a model_fn)",
            (
                "inference:huggingface-pytorch-inference:2.0-transformers4.28-cpu-py310",
                "inference:sagemaker-scikit-learn:1.2-1-cpu-py3",
            ),
        ),
        Use("variants, weights, `TargetVariant`", "runs", "updates lose no request"),
        Use("serverless", "runs", "a worker starts with the first call; every endpoint is unloaded when idle"),
        Use("asynchronous", "runs", "one call at a time; results and failures as objects; no topic is told"),
        Use(
            "data capture",
            "runs",
            "requests and answers as JSON lines in the bucket",
            ("field:CaptureOptions",),
            instead="leave DataCaptureConfig out, and keep what the program sends itself",
        ),
        Use("multi-model endpoints", "refused", "deploy the models one by one"),
        Use("several containers in a row", "refused", "deploy one of them"),
        Use("an answer as a stream", "refused", "call InvokeEndpoint"),
        Use(
            "autoscaling",
            "no effect",
            "kept and given back; a variant is one worker",
            ("service:application-autoscaling",),
        ),
        Use(
            "Elastic Inference", "no effect", "`accelerator_type` is kept and given back", ("without:AcceleratorType",)
        ),
        Use(
            "batch transform",
            "runs",
            "built-in models and your own: splitting, joining, filters",
            ("CreateTransformJob",),
        ),
    ),
    "Around a job": (
        Use("local mode", "runs", "`local`, `LocalSession`, v3's LOCAL_CONTAINER: the same job, and no Docker"),
        Use("`local_gpu`", "in part", "refused on a machine without a GPU"),
        Use("S3, `upload_data`, `aws s3`", "runs", "objects are plain files; see the service below"),
        Use("logs and CloudWatch", "runs", "`fit(logs=True)`, `aws logs`, GetMetricData"),
        Use("`get_execution_role()`, STS, IAM", "in part", "one account, roles that are allowed everything"),
        Use(
            "processing jobs",
            "runs",
            "scripts and frameworks, up to eight hosts, outputs at the end or while they run; no Pipe mode, no Spark",
            ("CreateProcessingJob",),
        ),
        Use("model registry", "runs", "groups, packages, approval", ("CreateModelPackage",)),
        Use("Search", "in part", "jobs and what the registry has", ("Search",)),
        Use(
            "Experiments",
            "runs",
            "trial components of jobs, `Run`, `load_run`, lineage but for QueryLineage",
            ("CreateExperiment",),
        ),
        Use("Studio, notebook instances", "in part", "`clary lab` opens notebooks with role, session and bucket"),
        Use("`LocalPipelineSession`", "refused", "it is the SDK's own, which needs Docker: call the steps themselves"),
    ),
}

# Of the SDKs: v2's names, under which v1 has most of them too.
CLASSES: dict[str, tuple[Use, ...]] = {
    "Estimators": (
        Use("Estimator", "runs", "with the image of a built-in algorithm, or one that `clary.toml` maps"),
        Use("PyTorch", "runs", "", ("training:pytorch-training:2.1-cpu-py310",)),
        Use("TensorFlow", "runs", "", ("training:tensorflow-training:2.13-cpu-py310",)),
        Use("HuggingFace", "runs", "", ("training:huggingface-pytorch-training:2.0-transformers4.28-gpu-py310",)),
        Use("SKLearn", "runs", "", ("training:sagemaker-scikit-learn:1.2-1-cpu-py3",)),
        Use("XGBoost", "runs", "", ("training:sagemaker-xgboost:1.5-1",)),
        Use("MXNet", "runs", "", ("training:mxnet-training:1.9.0-cpu-py38",)),
        Use("Chainer", "runs", "", ("training:sagemaker-chainer:5.0.0-cpu-py3",)),
        Use("RLEstimator", "runs", "", ("training:sagemaker-rl-ray-container:ray-1.6.0-torch-cpu-py37",)),
        Use("JumpStartEstimator", "refused", "", family="JumpStart"),
        Use("AlgorithmEstimator", "runs", "", ("DescribeAlgorithm",)),
        Use(
            "KMeans KNN PCA LDA NTM LinearLearner FactorizationMachines IPInsights Object2Vec RandomCutForest",
            "runs",
            "",
            ("training:kmeans:1",),
        ),
    ),
    "Models and predictors": (
        Use("Model Predictor", "runs", "with an image that serves here, or one that `clary.toml` maps"),
        Use("ModelPackage", "runs", "of any model that serves here", ("DescribeModelPackage",)),
        Use("PyTorchModel PyTorchPredictor", "runs", "", ("inference:pytorch-inference:2.1-cpu-py310",)),
        Use("TensorFlowModel TensorFlowPredictor", "runs", "", ("inference:tensorflow-inference:2.13-cpu",)),
        Use(
            "HuggingFaceModel HuggingFacePredictor",
            "runs",
            "",
            ("inference:huggingface-pytorch-inference:2.0-transformers4.28-cpu-py310",),
        ),
        Use(
            "SKLearnModel SKLearnPredictor",
            "runs",
            "",
            ("inference:sagemaker-scikit-learn:1.2-1-cpu-py3",),
        ),
        Use("XGBoostModel XGBoostPredictor", "runs", "", ("inference:sagemaker-xgboost:1.5-1",)),
        Use("MXNetModel MXNetPredictor", "runs", "", ("inference:mxnet-inference:1.9.0-cpu-py38",)),
        Use("ChainerModel ChainerPredictor", "runs", "", ("inference:sagemaker-chainer:5.0.0-cpu-py3",)),
        Use("SparkMLModel SparkMLPredictor", "runs", "", ("inference:sagemaker-sparkml-serving:3.3",)),
        Use("DJLModel DJLPredictor", "runs", "", ("inference:djl-inference:0.23.0-deepspeed0.9.5-cu118",)),
        Use("MultiDataModel", "refused", "deploy the models one by one"),
        Use("JumpStartModel", "refused", "", family="JumpStart"),
        Use(
            "KMeansModel KMeansPredictor KNNModel KNNPredictor PCAModel PCAPredictor LDAModel LDAPredictor NTMModel "
            "NTMPredictor LinearLearnerModel LinearLearnerPredictor FactorizationMachinesModel "
            "FactorizationMachinesPredictor IPInsightsModel IPInsightsPredictor Object2VecModel RandomCutForestModel "
            "RandomCutForestPredictor",
            "runs",
            "",
            ("inference:kmeans:1",),
        ),
    ),
    "Other jobs": (
        Use("Transformer", "runs", "", ("CreateTransformJob",)),
        Use(
            "Processor ScriptProcessor FrameworkProcessor SKLearnProcessor PyTorchProcessor TensorFlowProcessor "
            "HuggingFaceProcessor XGBoostProcessor",
            "runs",
            "",
            ("CreateProcessingJob",),
        ),
        Use("MXNetProcessor", "runs", "", ("CreateProcessingJob", "training:mxnet-training:1.9.0-cpu-py38")),
        Use(
            "PySparkProcessor SparkJarProcessor DataWranglerProcessor", "refused", "", family="Spark and Data Wrangler"
        ),
        Use("SageMakerClarifyProcessor", "refused", "", family="Clarify"),
        Use("HyperparameterTuner", "runs", "", ("CreateHyperParameterTuningJob",)),
    ),
    "Monitors and tables": (
        Use("TrainingJobAnalytics", "runs", ""),
        Use("HyperparameterTuningJobAnalytics", "runs", "", ("CreateHyperParameterTuningJob",)),
        Use("ExperimentAnalytics", "runs", "", ("CreateExperiment",)),
        Use("ArtifactAnalytics", "runs", "", ("ListArtifacts",)),
        Use("ModelMonitor DefaultModelMonitor ModelQualityMonitor", "runs", "", ("CreateMonitoringSchedule",)),
        Use(
            "ClarifyModelMonitor ModelBiasMonitor ModelExplainabilityMonitor",
            "runs",
            "",
            ("CreateModelBiasJobDefinition",),
        ),
    ),
}

# One of each repository that the SDK knows, with a tag as it writes them.
IMAGES = (
    *("image-classification:1", "object-detection:1", "semantic-segmentation:1"),
    *("pytorch-training:2.1-cpu-py310", "pytorch-inference:2.1-cpu-py310", "sagemaker-pytorch:1.1.0-cpu-py3"),
    *("pytorch-inference-eia:1.5.1-cpu-py3", "pytorch-inference-graviton:2.0-cpu-py310"),
    *("pytorch-trcomp-training:1.13-gpu-py39", "pytorch-training-neuron:1.11-neuron-py38"),
    *("pytorch-training-neuronx:1.13-neuronx-py310", "smdistributed-modelparallel:2.4-gpu-py311"),
    *("tensorflow-training:2.13-cpu-py310", "tensorflow-inference:2.13-cpu", "sagemaker-tensorflow:1.12.0-cpu-py2"),
    *("sagemaker-tensorflow-scriptmode:1.12.0-cpu-py3", "sagemaker-tensorflow-serving:1.12.0-cpu"),
    *("sagemaker-tensorflow-eia:1.10-cpu-py2", "sagemaker-tensorflow-serving-eia:1.12-cpu"),
    *("tensorflow-inference-eia:2.3-cpu", "tensorflow-inference-graviton:2.9-cpu-py39"),
    *("huggingface-pytorch-training:2.0-transformers4.28-gpu-py310", "huggingface-tensorflow-training:2.6-gpu-py38"),
    *("huggingface-pytorch-inference:2.0-transformers4.28-cpu-py310", "huggingface-tensorflow-inference:2.11-cpu-py39"),
    *("huggingface-pytorch-trcomp-training:1.11-gpu-py38", "huggingface-tensorflow-trcomp-training:2.6-gpu-py38"),
    *("huggingface-pytorch-inference-neuron:1.10-py37", "huggingface-pytorch-inference-neuronx:1.13-py310"),
    *("huggingface-pytorch-training-neuronx:1.13-py310", "huggingface-pytorch-tgi-inference:2.0-tgi1.0-gpu-py39"),
    *("huggingface-vllm-inference-neuronx:0.11-py310", "tei:2.0.1-gpu-py310", "tei-cpu:2.0.1-cpu-py310"),
    *("sagemaker-scikit-learn:1.2-1-cpu-py3", "sagemaker-xgboost:1.5-1", "xgboost:1", "sagemaker-base-python:3.10"),
    *("mxnet-training:1.9.0-cpu-py38", "mxnet-inference:1.9.0-cpu-py38", "mxnet-inference-eia:1.7.0-cpu-py3"),
    *("sagemaker-mxnet:1.3.0-cpu-py3", "sagemaker-mxnet-eia:1.3.0-cpu-py3", "sagemaker-mxnet-serving:1.4.1-cpu-py3"),
    *("sagemaker-mxnet-serving-eia:1.4.1-cpu-py3", "sagemaker-chainer:5.0.0-cpu-py3"),
    *("autogluon-training:1.0.0-cpu-py310", "autogluon-inference:1.0.0-cpu-py310"),
    *(
        "djl-inference:0.23.0-deepspeed0.9.5-cu118",
        "sagemaker-tritonserver:23.02-py3",
        "stabilityai-pytorch-inference:2",
    ),
    *(
        "blazingtext:1",
        "factorization-machines:1",
        "forecasting-deepar:1",
        "ipinsights:1",
        "kmeans:1",
        "knn:1",
        "lda:1",
    ),
    *("linear-learner:1", "ntm:1", "object2vec:1", "pca:1", "randomcutforest:1", "seq2seq:1"),
    *("sagemaker-sparkml-serving:3.3", "sagemaker-geospatial-v1-0:latest", "sagemaker-distribution-prod:3.0-cpu"),
    *("sagemaker-rl-mxnet:coach0.11-cpu-py3", "sagemaker-rl-coach-container:coach-1.0.0-tf-cpu-py3"),
    *("sagemaker-rl-tensorflow:coach0.10-cpu-py3", "sagemaker-rl-ray-container:ray-1.6.0-torch-cpu-py37"),
    *("sagemaker-rl-vw-container:vw-8.7.0-cpu",),
    *("image-classification-neo:latest", "xgboost-neo:latest", "sagemaker-neo-mxnet:1.5-py3"),
    *("sagemaker-neo-pytorch:1.5-py3", "sagemaker-neo-tensorflow:1.15-py3", "sagemaker-inference-mxnet:1.8-cpu-py3"),
    *("sagemaker-inference-pytorch:1.8-cpu-py3", "sagemaker-inference-tensorflow:1.15-cpu-py3"),
    *("sagemaker-clarify-processing:1.0", "sagemaker-model-monitor-analyzer:latest", "sagemaker-debugger-rules:latest"),
    *("detailed-profiler-processing:latest", "sagemaker-spark-processing:3.3-cpu-py39-v1"),
    "sagemaker-data-wrangler-container:5.x",
)
