"""A model with serving code of one's own, on an endpoint of SageMaker's PyTorch image, with boto3.

python deploy_code.py model.tar.gz
"""

import json
import sys

import boto3

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.1-cpu-py310"

sagemaker, runtime, s3 = (boto3.client(name) for name in ("sagemaker", "sagemaker-runtime", "s3"))
account = boto3.client("sts").get_caller_identity()["Account"]
bucket = f"serve-code-{account}"
s3.create_bucket(Bucket=bucket)
s3.upload_file(sys.argv[1], bucket, "model.tar.gz")

sagemaker.create_model(
    ModelName="doubler",
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/model.tar.gz"},
    ExecutionRoleArn=f"arn:aws:iam::{account}:role/doubler",
)
sagemaker.create_endpoint_config(
    EndpointConfigName="doubler",
    ProductionVariants=[
        {"VariantName": "main", "ModelName": "doubler", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    ],
)
sagemaker.create_endpoint(EndpointName="doubler", EndpointConfigName="doubler")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="doubler")

answer = runtime.invoke_endpoint(
    EndpointName="doubler", ContentType="application/json", Body=json.dumps({"rows": [[1, 2], [3, 4]]})
)
print(answer["ContentType"], answer["Body"].read().decode())
sagemaker.delete_endpoint(EndpointName="doubler")
