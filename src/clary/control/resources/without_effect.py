"""Fields of requests that are accepted and change nothing here, and why: one line each.

``docs/reference/without-effect.md`` is written from it. A test walks the request shapes of every implemented operation
in botocore's descriptions: a field must stand in the code, or here. One that stands here speaks for all below it.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FIELDS"]

_KEPT = "kept and given back by Describe"
_NO_NETWORK = "kept and given back; jobs and workers are processes of this machine, and nothing isolates their network"
_NO_KEYS = "kept and given back; nothing is encrypted, the home folder is its user's alone"
_NO_ROLES = "kept and given back; there are no permissions, whoever can sign a request may do all"
_ONE_ACCOUNT = "there is one account"
_NO_DEBUGGER = "kept and given back; no rule watches and nothing is profiled"
_PACKAGE = "kept and given back by DescribeModelPackage; a model is served by image and archive alone"
_NO_HUB = "kept and given back; there are no hubs, and no licences to accept"

FIELDS: Mapping[str, Mapping[str, str]] = {
    "sagemaker": {
        # Machines
        "AcceleratorType": f"{_KEPT}; a variant is one worker on this machine",
        "AcceleratorPartitionLayouts": f"{_KEPT}; accelerators are not divided",
        "CapacityReservationConfig": f"{_KEPT}; nothing is reserved",
        "InferenceAmiVersion": f"{_KEPT}; there are no machine images",
        "InstancePlacementConfig": f"{_KEPT}; all hosts are this machine",
        "InstancePreferences": f"{_KEPT}; all hosts are this machine",
        "InstanceGroupNames": f"{_KEPT}; a job runs on one group, which gets every channel",
        "ManagedInstanceScaling": f"{_KEPT}; a variant is one worker",
        "MaxConcurrency": f"{_KEPT}; a worker takes as many calls as its queue holds",
        "MaxPendingTimeInSeconds": f"{_KEPT}; a job waits until there is room",
        "MemorySizeInMB": f"{_KEPT}; a worker may use this machine's memory",
        "ModelNameOverride": f"{_KEPT}; a variant serves its own model",
        "Priority": f"{_KEPT}; a variant is one worker",
        "ProvisionedConcurrency": f"{_KEPT}; a serverless worker starts at its first call",
        "RoutingConfig": f"{_KEPT}; a variant is one worker",
        "SelectedInstanceCount": f"{_KEPT}; all hosts are this machine",
        "SelectedInstanceType": f"{_KEPT}; all hosts are this machine",
        "ServerlessUpdateConfig": "a variant is one worker",
        "TrainingPlanArn": f"{_KEPT}; nothing is reserved",
        "TrainingPlanArns": f"{_KEPT}; nothing is reserved",
        "VariantInstanceProvisionTimeoutInSeconds": f"{_KEPT}; a worker starts in seconds",
        "VolumeSizeInGB": f"{_KEPT}; the disk is this machine's",
        # Network, keys, permissions
        "EnableInterContainerTrafficEncryption": f"{_KEPT}; hosts talk over this machine's loopback",
        "EnableNetworkIsolation": _NO_NETWORK,
        "EnableRemoteDebug": f"{_KEPT}; look at the job's processes on this machine",
        "EnableSSMAccess": f"{_KEPT}; look at the worker's process on this machine",
        "ExecutionRoleArn": _NO_ROLES,
        "KmsKeyId": _NO_KEYS,
        "NetworkConfig": _NO_NETWORK,
        "SecurityConfig": _NO_KEYS,
        "SessionChainingConfig": _NO_ROLES,
        "VolumeKmsKeyId": _NO_KEYS,
        "VpcConfig": _NO_NETWORK,
        # Images and containers
        "ContainerHostname": f"{_KEPT}; a model has one container",
        "ContainerMetricsConfig": f"{_KEPT}; a worker's metrics are those of its variant",
        "CoreDumpConfig": f"{_KEPT}; no dump is uploaded",
        "ImageConfig": f"{_KEPT}; no image is pulled, a URI says which algorithm runs",
        "InferenceExecutionConfig": f"{_KEPT}; a model has one container",
        "InferenceSpecificationName": f"{_KEPT}; a package is served by its first specification",
        "ModelDataDownloadTimeoutInSeconds": f"{_KEPT}; a worker has the platform's own time to start",
        "MultiModelConfig": f"{_KEPT}; archives stay loaded until the worker is idle",
        "TrainingImageConfig": f"{_KEPT}; no image is pulled, a URI says which algorithm runs",
        # Data
        "DatasetSource": "refused: a channel needs an S3DataSource or a FileSystemDataSource",
        "FeatureGroupName": "refused with FeatureStoreOutput",
        "FileSystemType": f"{_KEPT}; the id says which folder it is, by [filesystems] in clary.toml",
        "HubAccessConfig": _NO_HUB,
        "ManifestEtag": f"{_KEPT}; model data is what lies at its URI",
        "ManifestS3Uri": f"{_KEPT}; model data is what lies at its URI",
        "ModelAccessConfig": _NO_HUB,
        **dict.fromkeys(
            ("AthenaDatasetDefinition", "DataDistributionType", "RedshiftDatasetDefinition"),
            "refused with DatasetDefinition",
        ),
        # What watches
        "CollectionName": "handed to the program in debughookconfig.json; no rule reads what it writes",
        "CollectionParameters": "handed to the program in debughookconfig.json; no rule reads what it writes",
        "DebugRuleConfigurations": _NO_DEBUGGER,
        "DisableProfiler": _NO_DEBUGGER,
        "EnableSageMakerMetricsTimeSeries": f"{_KEPT}; metrics are kept as time series always",
        "ExplainerConfig": f"{_KEPT}; predictions are not explained",
        "InfraCheckConfig": f"{_KEPT}; nothing is checked before a job",
        "MetricsConfig": f"{_KEPT}; metrics of an endpoint come once a minute",
        "MlflowConfig": f"{_KEPT}; nothing is told to an MLflow server",
        "ProfilingIntervalInMilliseconds": _NO_DEBUGGER,
        "ProfilingParameters": _NO_DEBUGGER,
        "RuleEvaluatorImage": _NO_DEBUGGER,
        "RuleParameters": _NO_DEBUGGER,
        # What happens to jobs and endpoints
        "ClientConfig": f"{_KEPT}; one asynchronous call is answered at a time",
        "CrossRegionTrafficConfig": f"{_KEPT}; there is one place",
        "DeploymentConfig": "kept; an update starts the new workers and then stops the old ones, without a call lost",
        "ModelPackageConfig": f"{_KEPT}; no package is registered, CreateModelPackage does it",
        "NotificationConfig": f"{_KEPT}; no topic is told, look for the output object",
        "RetainDeploymentConfig": "an update starts the new workers and then stops the old ones",
        "RetryStrategy": f"{_KEPT}; a job whose gateway or machine died goes on, one that failed has failed",
        "ServerlessJobConfig": "refused: give AlgorithmSpecification",
        **dict.fromkeys(
            ("CaptureContentTypeHeader", "CaptureOptions", "DestinationS3Uri", "InitialSamplingPercentage"),
            "refused with DataCaptureConfig, unless that turns capture off",
        ),
        # Of serverless customisation jobs, which are refused as a whole
        **dict.fromkeys(
            (
                *("BaseModelArn", "AcceptEula", "JobType", "CustomizationTechnique", "Peft"),
                *("EvaluationType", "EvaluatorArn", "SequenceLength"),
            ),
            "refused with ServerlessJobConfig",
        ),
        # Model packages
        **dict.fromkeys(
            (
                *("AdditionalS3DataSource", "BaseModel", "Domain", "DriftCheckBaselines", "Framework"),
                *("FrameworkVersion", "ImageDigest", "IsCheckpoint", "ManagedConfiguration", "ManagedStorageType"),
                *("MetadataProperties", "ModelCardContent", "ModelCardStatus", "ModelDataETag", "ModelInput"),
                *("ModelMetrics", "ModelPackageDescription", "ModelPackageGroupDescription", "NearestModelName"),
                *("ProductId", "SamplePayloadUrl", "SourceAlgorithmSpecification", "StageDescription"),
                *("StageStatus", "SupportedContentTypes", "SupportedRealtimeInferenceInstanceTypes"),
                *("SupportedResponseMIMETypes", "SupportedTransformInstanceTypes", "Task"),
            ),
            _PACKAGE,
        ),
        # Lineage
        "SourceId": f"{_KEPT}; nothing reads it",
        "SkipModelValidation": "kept; no package is validated",
        "ValidationSpecification": "kept; no package is validated",
        # Questions
        "CrossAccountFilterOption": _ONE_ACCOUNT,
        "IncludedData": "all of it is answered",
        "NestedPropertyName": "refused with NestedFilters",
        "VisibilityConditions": _ONE_ACCOUNT,
    },
    "application-autoscaling": {
        "IncludeNotScaledActivities": "nothing scales by itself, so there are no activities",
        **dict.fromkeys(
            (
                *("PredictiveScalingPolicyConfiguration", "StepScalingPolicyConfiguration"),
                *("TargetTrackingScalingPolicyConfiguration", "ScalableTargetAction", "Timezone"),
            ),
            "kept and described; nothing scales by itself, UpdateEndpointWeightsAndCapacities does it",
        ),
    },
    "sagemaker-runtime": {
        "EnableExplanations": "predictions are not explained",
        "InferenceComponentName": "a variant serves one model; inference components are refused when configured",
        "PrefixAwareId": "a variant is one worker",
        "RequestTTLSeconds": "a call waits until its turn comes",
        "SessionId": "every call stands alone",
        "TargetContainerHostname": "a model has one container",
    },
    "cloudwatch": {
        "AccountId": _ONE_ACCOUNT,
        "Entity": "metrics are known by namespace, name and dimensions alone",
        "IncludeLinkedAccounts": _ONE_ACCOUNT,
        "LabelOptions": "labels are as the query names them",
        "OwningAccount": _ONE_ACCOUNT,
        "StorageResolution": "every data point is kept as it came",
        "StrictEntityValidation": "metrics are known by namespace, name and dimensions alone",
    },
    "logs": {
        "accountIdentifiers": _ONE_ACCOUNT,
        "deletionProtectionEnabled": "a group can be deleted",
        "entity": "events are known by group and stream alone",
        "includeLinkedAccounts": _ONE_ACCOUNT,
        "interleaved": "events of all streams come in order of time, as AWS answers since 2019",
        "kmsKeyId": "nothing is encrypted, the home folder is its user's alone",
        "logGroupIdentifiers": "groups are found by prefix or pattern",
        "sequenceToken": "not needed, as on AWS since 2023",
        "unmask": "nothing is masked",
    },
    "iam": {
        **dict.fromkeys(
            (
                *("CallerArn", "ContextEntries", "PermissionsBoundary", "PermissionsBoundaryPolicyInputList"),
                *("PolicyDocument", "PolicyExclusionList", "PolicyInputList", "PolicySourceArn"),
                *("ResourceHandlingOption", "ResourceOwner", "ResourcePolicy"),
            ),
            "there are no permissions: every action is allowed",
        ),
        "MaxItems": "all are answered at once",
        "PathPrefix": "all are answered, whatever their path",
    },
}
