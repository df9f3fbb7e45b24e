"""boto3 against the whole platform: what clients match on, and objects of every size and name."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request

import numpy as np
import pytest

pytestmark = pytest.mark.slow

NAMES = ["plain.txt", "a b+c=d&e.txt", "deep/er/ä ö %41.jpg", "trailing space /x", "quote'\"<>.txt", "tilde~!*().bin"]
IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"


@pytest.fixture(scope="module")
def bucket(client):
    client("s3").create_bucket(Bucket="of-boto3")
    return "of-boto3"


def code(caught) -> str:
    return str(caught.value.response["Error"]["Code"])


def message(caught) -> str:
    return str(caught.value.response["Error"]["Message"])


def test_who_am_i(client):
    identity = client("sts").get_caller_identity()
    assert identity["Account"] == "000000000000"
    assert ":assumed-role/" in identity["Arn"]
    role = client("iam").get_role(RoleName=identity["Arn"].split("/")[1])["Role"]
    assert role["Arn"].startswith("arn:aws:iam::000000000000:role/")


def test_the_root_is_a_page_for_people_and_the_buckets_for_programs(client, bucket):
    s3 = client("s3")
    assert bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    url = s3.meta.endpoint_url
    asked = urllib.request.Request(f"{url}/", headers={"Accept": "text/html,*/*;q=0.8"})
    with urllib.request.urlopen(asked) as page:
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert url in page.read().decode()
    with urllib.request.urlopen(f"{url}/") as listed:
        assert f"<Name>{bucket}</Name>" in listed.read().decode()


@pytest.mark.parametrize("size", [0, 1, 8 * 2**20, 20 * 2**20 + 3])
def test_objects_of_any_size_come_back_as_they_were(client, bucket, size):
    """Above 8 MiB in parts, several at a time, both ways."""
    s3, content = client("s3"), np.random.default_rng(size).bytes(size)
    s3.upload_fileobj(io.BytesIO(content), bucket, f"size-{size}")
    assert s3.head_object(Bucket=bucket, Key=f"size-{size}")["ContentLength"] == size
    back = io.BytesIO()
    s3.download_fileobj(bucket, f"size-{size}", back)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(content).digest()
    if size > 10:
        part = s3.get_object(Bucket=bucket, Key=f"size-{size}", Range="bytes=5-9")
        assert (part["Body"].read(), part["ContentRange"]) == (content[5:10], f"bytes 5-9/{size}")


@pytest.mark.parametrize("name", NAMES)
def test_keys_of_any_name(client, bucket, name):
    s3, key = client("s3"), f"names/{name}"
    s3.put_object(Bucket=bucket, Key=key, Body=name.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == name.encode()
    assert key in [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="names/")["Contents"]]
    assert key in [one["Key"] for one in s3.list_objects(Bucket=bucket, Prefix="names/")["Contents"]]
    s3.copy({"Bucket": bucket, "Key": key}, bucket, f"copies/{name}")
    assert s3.get_object(Bucket=bucket, Key=f"copies/{name}")["Body"].read() == name.encode()


def test_many_objects_are_listed_by_pages_and_deleted_at_once(client, bucket):
    s3, keys = client("s3"), [f"many/{number:03}" for number in range(25)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="many/", PaginationConfig={"PageSize": 10})
    )
    assert [len(page["Contents"]) for page in pages] == [10, 10, 5]
    assert [one["Key"] for page in pages for one in page["Contents"]] == keys
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert s3.list_objects_v2(Bucket=bucket, Prefix="many/")["KeyCount"] == 0


def test_presigned_addresses_work_for_programs_without_keys(client, bucket):
    s3, place = client("s3"), {"Bucket": bucket, "Key": "presigned"}
    put = urllib.request.Request(s3.generate_presigned_url("put_object", place), data=b"hello", method="PUT")
    put.add_header("Content-Type", "")
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", place)) as answer:
        assert answer.read() == b"hello"


def test_codes_of_missing_objects(client, bucket):
    s3 = client("s3")
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        s3.get_object(Bucket=bucket, Key="not there")
    assert code(caught) == "NoSuchKey"
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket")
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.head_object(Bucket=bucket, Key="not there")
    assert (code(caught), message(caught)) == ("404", "Not Found")


@pytest.mark.parametrize("request_", ["?tagging", "?acl", "?policy", "?website"])
def test_what_the_store_does_not_know_never_reaches_an_object(client, bucket, request_, server):
    s3 = client("s3")
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    put = urllib.request.Request(f"{server.url}/{bucket}/kept{request_}", data=b"overwritten", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(put)
    caught.value.close()
    assert caught.value.code in (400, 403, 501)
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"


def test_codes_and_words_that_the_sdk_matches_on(client):
    sagemaker = client("sagemaker")
    wanted = {
        "describe_endpoint": ("EndpointName", "Could not find"),
        "describe_endpoint_config": ("EndpointConfigName", "Could not find"),
        "describe_model": ("ModelName", "Could not find"),
        "describe_training_job": ("TrainingJobName", "Requested resource not found"),
        "stop_training_job": ("TrainingJobName", ""),
        "delete_endpoint": ("EndpointName", "Could not find"),
    }
    for operation, (name, words) in wanted.items():
        with pytest.raises(sagemaker.exceptions.ClientError) as caught:
            getattr(sagemaker, operation)(**{name: "nobody"})
        assert code(caught) == "ValidationException", operation
        assert words in message(caught), operation
    runtime = client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="nobody", Body=b"")
    assert code(caught) == "ValidationError"
    assert "nobody" in message(caught)
    logs = client("logs")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName="/aws/nothing", logStreamName="nobody")


def test_lists_have_their_member_even_when_empty(client):
    sagemaker = client("sagemaker")
    for operation, member in [
        ("list_training_jobs", "TrainingJobSummaries"),
        ("list_models", "Models"),
        ("list_endpoints", "Endpoints"),
        ("list_endpoint_configs", "EndpointConfigs"),
        ("list_model_package_groups", "ModelPackageGroupSummaryList"),
    ]:
        assert getattr(sagemaker, operation)(NameContains="no-such-name")[member] == []


def test_a_job_that_asks_for_what_is_not_there_is_refused_and_named(client, bucket):
    sagemaker = client("sagemaker")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/no-such-prefix/"}
    with pytest.raises(sagemaker.exceptions.ClientError) as caught:
        sagemaker.create_training_job(
            TrainingJobName="asks-for-nothing",
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            RoleArn="arn:aws:iam::000000000000:role/any",
            InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
            ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    assert code(caught) == "ValidationException"
    assert f"s3://{bucket}/no-such-prefix/" in message(caught)
