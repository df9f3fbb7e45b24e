#!/bin/sh
# Train SageMaker's own image classification, deploy it and ask it: the AWS CLI alone.
#
#     sh classify_cli.sh FOLDER [NAME=VALUE ...]
#
# FOLDER is laid out as prepare.py does it; NAME=VALUE are further hyperparameters.
set -eu

folder=$1
shift
region=${AWS_DEFAULT_REGION:-us-east-1}
account=$(aws sts get-caller-identity --query Account --output text)
role_name=$(aws sts get-caller-identity --query Arn --output text | cut -d/ -f2)
role=$(aws iam get-role --role-name "$role_name" --query Role.Arn --output text)
bucket=classify-cli-$region-$account
image=811284229777.dkr.ecr.$region.amazonaws.com/image-classification:1
name=classify-cli-$(date +%Y-%m-%d-%H-%M-%S)
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
echo "role $role, bucket $bucket"

# The four channels.
aws s3 mb "s3://$bucket"
channels=
for channel in train validation train_lst validation_lst; do
    aws s3 cp --recursive --only-show-errors "$folder/$channel" "s3://$bucket/$name/$channel"
    source="DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://$bucket/$name/$channel/}}"
    channels="$channels ChannelName=$channel,ContentType=application/x-image,$source"
done

# Hyperparameters as JSON; what is given last counts.
samples=$(wc -l < "$folder/train_lst/train.lst")
classes=$(cut -f 2 "$folder/train_lst/train.lst" | sort -u | wc -l)
settings=
for pair in num_layers=18 image_shape=3,224,224 resize=256 mini_batch_size=16 epochs=10 learning_rate=0.01 \
    num_classes=$((classes)) num_training_samples=$((samples)) "$@"; do
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
    --filter-pattern Validation-accuracy --query 'events[].message' --output text

# An endpoint.
aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" \
    --primary-container "Image=$image,ModelDataUrl=$model_data"
aws sagemaker create-endpoint-config --endpoint-config-name "$name" --production-variants \
    "VariantName=AllTraffic,ModelName=$name,InstanceType=ml.m4.xlarge,InitialInstanceCount=1"
aws sagemaker create-endpoint --endpoint-name "$name" --endpoint-config-name "$name"
aws sagemaker wait endpoint-in-service --endpoint-name "$name"
echo "endpoint $(aws sagemaker describe-endpoint --endpoint-name "$name" --query EndpointStatus --output text)"

picture=$folder/validation/$(head -n 1 "$folder/validation_lst/validation.lst" | cut -f 3)
aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --content-type image/jpeg \
    --body "fileb://$picture" "$answer"
echo "scores of $picture: $(cat "$answer")"
aws sagemaker delete-endpoint --endpoint-name "$name"
aws sagemaker delete-endpoint-config --endpoint-config-name "$name"
aws sagemaker delete-model --model-name "$name"
