#!/bin/sh
# Train SageMaker's own semantic segmentation, deploy it and ask it: the AWS CLI alone.
#
#     sh segment_cli.sh FOLDER num_classes=N [NAME=VALUE ...]
#
#     FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.png ...          a mask for each picture: class ids,
#     FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.png ...     255 where there is none
#
# NAME=VALUE are further hyperparameters. The mask of the first validation picture is left in mask.png.
set -eu

folder=$1
shift
region=${AWS_DEFAULT_REGION:-us-east-1}
account=$(aws sts get-caller-identity --query Account --output text)
role_name=$(aws sts get-caller-identity --query Arn --output text | cut -d/ -f2)
role=$(aws iam get-role --role-name "$role_name" --query Role.Arn --output text)
bucket=segment-cli-$region-$account
image=811284229777.dkr.ecr.$region.amazonaws.com/semantic-segmentation:1
name=segment-cli-$(date +%Y-%m-%d-%H-%M-%S)
echo "role $role, bucket $bucket"

# The four channels.
aws s3 mb "s3://$bucket"
channels=
for channel in train validation train_annotation validation_annotation; do
    aws s3 cp --recursive --only-show-errors "$folder/$channel" "s3://$bucket/$name/$channel"
    case $channel in *annotation) kind=image/png ;; *) kind=image/jpeg ;; esac
    source="DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://$bucket/$name/$channel/}}"
    channels="$channels ChannelName=$channel,ContentType=$kind,$source"
done

# Hyperparameters as JSON; what is given last counts.
samples=$(find "$folder/train_annotation" -name '*.png' | wc -l)
settings=
for pair in backbone=resnet-50 algorithm=fcn use_pretrained_model=True crop_size=240 epochs=10 learning_rate=0.0001 \
    optimizer=rmsprop lr_scheduler=poly mini_batch_size=8 validation_mini_batch_size=8 \
    num_training_samples=$((samples)) "$@"; do
    settings="$settings${settings:+, }\"${pair%%=*}\": \"${pair#*=}\""
done

aws sagemaker create-training-job \
    --training-job-name "$name" \
    --algorithm-specification "TrainingImage=$image,TrainingInputMode=File" \
    --role-arn "$role" \
    --input-data-config $channels \
    --output-data-config "S3OutputPath=s3://$bucket/$name/output" \
    --resource-config InstanceType=ml.p3.2xlarge,InstanceCount=1,VolumeSizeInGB=50 \
    --stopping-condition MaxRuntimeInSeconds=3600 \
    --hyper-parameters "{$settings}"

# Says of a job that failed only that it did; why is in its description.
if ! aws sagemaker wait training-job-completed-or-stopped --training-job-name "$name"; then
    aws sagemaker describe-training-job --training-job-name "$name" --query FailureReason --output text >&2
    exit 1
fi
model_data=$(aws sagemaker describe-training-job --training-job-name "$name" \
    --query ModelArtifacts.S3ModelArtifacts --output text)
echo "model $model_data"
aws logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs --log-stream-name-prefix "$name/" \
    --filter-pattern '"validation mIOU"' --query 'events[].message' --output text

# An endpoint.
aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" \
    --primary-container "Image=$image,ModelDataUrl=$model_data"
aws sagemaker create-endpoint-config --endpoint-config-name "$name" --production-variants \
    "VariantName=AllTraffic,ModelName=$name,InstanceType=ml.m4.xlarge,InitialInstanceCount=1"
aws sagemaker create-endpoint --endpoint-name "$name" --endpoint-config-name "$name"
aws sagemaker wait endpoint-in-service --endpoint-name "$name"
echo "endpoint $(aws sagemaker describe-endpoint --endpoint-name "$name" --query EndpointStatus --output text)"

picture=$(find "$folder/validation" -type f | sort | head -n 1)
aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --content-type image/jpeg --accept image/png \
    --body "fileb://$picture" mask.png
echo "mask of $picture: $PWD/mask.png"
aws sagemaker delete-endpoint --endpoint-name "$name"
aws sagemaker delete-endpoint-config --endpoint-config-name "$name"
aws sagemaker delete-model --model-name "$name"
