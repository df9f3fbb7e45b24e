#!/bin/sh
# Train SageMaker's own object detection, deploy it and ask it: the AWS CLI alone.
#
#     sh detect_cli.sh FOLDER [NAME=VALUE ...]
#
#     FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.json ...          a JSON of boxes for each picture
#     FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.json ...
#
# NAME=VALUE are further hyperparameters.
set -eu

folder=$1
shift
region=${AWS_DEFAULT_REGION:-us-east-1}
account=$(aws sts get-caller-identity --query Account --output text)
role_name=$(aws sts get-caller-identity --query Arn --output text | cut -d/ -f2)
role=$(aws iam get-role --role-name "$role_name" --query Role.Arn --output text)
bucket=detect-cli-$region-$account
image=811284229777.dkr.ecr.$region.amazonaws.com/object-detection:1
name=detect-cli-$(date +%Y-%m-%d-%H-%M-%S)
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
echo "role $role, bucket $bucket"

# The four channels; annotations have the content type of the pictures.
aws s3 mb "s3://$bucket"
channels=
for channel in train validation train_annotation validation_annotation; do
    aws s3 cp --recursive --only-show-errors "$folder/$channel" "s3://$bucket/$name/$channel"
    source="DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://$bucket/$name/$channel/}}"
    channels="$channels ChannelName=$channel,ContentType=image/jpeg,$source"
done

# Hyperparameters as JSON; what is given last counts.
samples=$(find "$folder/train_annotation" -name '*.json' | wc -l)
highest=$(grep -rho '"class_id": *[0-9]*' "$folder/train_annotation" | grep -o '[0-9]*$' | sort -n | tail -n 1)
settings=
for pair in base_network=resnet-50 use_pretrained_model=1 image_shape=300 mini_batch_size=8 epochs=30 \
    learning_rate=0.001 lr_scheduler_step=20 lr_scheduler_factor=0.1 optimizer=sgd \
    num_classes=$((highest + 1)) num_training_samples=$((samples)) "$@"; do
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
    --filter-pattern '"validation mAP"' --query 'events[].message' --output text

# An endpoint.
aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" \
    --primary-container "Image=$image,ModelDataUrl=$model_data"
aws sagemaker create-endpoint-config --endpoint-config-name "$name" --production-variants \
    "VariantName=AllTraffic,ModelName=$name,InstanceType=ml.m4.xlarge,InitialInstanceCount=1"
aws sagemaker create-endpoint --endpoint-name "$name" --endpoint-config-name "$name"
aws sagemaker wait endpoint-in-service --endpoint-name "$name"
echo "endpoint $(aws sagemaker describe-endpoint --endpoint-name "$name" --query EndpointStatus --output text)"

# The best row of the answer: class, score, xmin, ymin, xmax, ymax as fractions of the picture.
picture=$(find "$folder/validation" -type f | sort | head -n 1)
aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --content-type image/jpeg \
    --body "fileb://$picture" "$answer"
echo "best box of $picture: $(sed 's/^[^[]*\[\[\([^]]*\)\].*/\1/' "$answer")"
annotation=$folder/validation_annotation${picture#"$folder/validation"}
echo "true boxes: $(cat "${annotation%.*}.json")"
aws sagemaker delete-endpoint --endpoint-name "$name"
aws sagemaker delete-endpoint-config --endpoint-config-name "$name"
aws sagemaker delete-model --model-name "$name"
