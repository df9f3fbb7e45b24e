"""Deploy an archive of TensorFlow's with boto3, and ask it: python examples/serve_tensorflow.py model.tar.gz"""

import io
import json
import sys

import boto3
import numpy as np

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.12-cpu"
ROLE = "arn:aws:iam::000000000000:role/SageMakerRole"

s3, sagemaker, runtime = (boto3.client(name) for name in ("s3", "sagemaker", "sagemaker-runtime"))
s3.create_bucket(Bucket="models")
s3.upload_file(sys.argv[1], "models", "half/model.tar.gz")
container = {"Image": IMAGE, "ModelDataUrl": "s3://models/half/model.tar.gz"}
sagemaker.create_model(ModelName="half", ExecutionRoleArn=ROLE, PrimaryContainer=container)
variant = {"VariantName": "v", "ModelName": "half", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="half", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="half", EndpointConfigName="half")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="half")


def ask(body: bytes, content_type: str) -> object:
    answer = runtime.invoke_endpoint(
        EndpointName="half", ContentType=content_type, Accept="application/json", Body=body
    )
    return json.load(answer["Body"])


numbers = [1.0, 2.0, 5.0]
print("json", ask(json.dumps({"instances": numbers}).encode(), "application/json"))
stream = io.BytesIO()
np.save(stream, np.array(numbers))
print("npy", ask(stream.getvalue(), "application/x-npy"))
