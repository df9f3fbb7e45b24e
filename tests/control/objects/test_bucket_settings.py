"""Settings of buckets: kept on the disk, given back, gone with the bucket; and what is said of those nobody made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clary.control.objects.bucket_settings import FOLDER, change_settings
from clary.control.objects.local import LocalStore

Refused = Callable[..., tuple[str, int]]
BLOCK = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": False,
    "RestrictPublicBuckets": False,
}


def tag_set(count: int) -> dict[str, Any]:
    return {"TagSet": [{"Key": f"{n:0128}", "Value": "v" * 256} for n in range(count)]}


def encryption(algorithm: str, **more: str) -> dict[str, Any]:
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm, **more}}]}


class TestTags:
    def test_fifty(self, s3: Any, refused: Refused) -> None:
        assert refused(s3.get_bucket_tagging, Bucket="box") == ("NoSuchTagSet", 404)
        s3.put_bucket_tagging(Bucket="box", Tagging=tag_set(50))
        assert s3.get_bucket_tagging(Bucket="box")["TagSet"] == tag_set(50)["TagSet"]
        assert refused(s3.put_bucket_tagging, Bucket="box", Tagging=tag_set(51)) == ("BadRequest", 400)
        s3.delete_bucket_tagging(Bucket="box")
        assert refused(s3.get_bucket_tagging, Bucket="box") == ("NoSuchTagSet", 404)
        s3.delete_bucket_tagging(Bucket="box")

    def test_of_a_new_bucket(self, s3: Any) -> None:
        tags = tag_set(2)["TagSet"]
        s3.create_bucket(Bucket="tagged", CreateBucketConfiguration={"Tags": tags})
        assert s3.get_bucket_tagging(Bucket="tagged")["TagSet"] == tags


class TestEncryption:
    def test_is_aes256_where_nobody_said(self, s3: Any) -> None:
        rule = s3.get_bucket_encryption(Bucket="box")["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}

    def test_is_given_to_objects(self, s3: Any) -> None:
        setting = encryption("aws:kms", KMSMasterKeyID="key-1")
        s3.put_bucket_encryption(Bucket="box", ServerSideEncryptionConfiguration=setting)
        found = s3.get_bucket_encryption(Bucket="box")["ServerSideEncryptionConfiguration"]["Rules"][0]
        default = found["ApplyServerSideEncryptionByDefault"]
        assert default == setting["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        assert s3.put_object(Bucket="box", Key="x", Body=b"1")["SSEKMSKeyId"] == "key-1"
        assert s3.put_object(Bucket="box", Key="y", Body=b"1", ServerSideEncryption="AES256").get("SSEKMSKeyId") is None
        assert s3.create_multipart_upload(Bucket="box", Key="z")["ServerSideEncryption"] == "aws:kms"
        s3.delete_bucket_encryption(Bucket="box")
        assert "ServerSideEncryption" not in s3.put_object(Bucket="box", Key="x", Body=b"1")

    @pytest.mark.parametrize(
        ("setting", "code"),
        [(encryption("ROT13"), "MalformedXML"), (encryption("AES256", KMSMasterKeyID="k"), "InvalidArgument")],
    )
    def test_of_no_kind(self, s3: Any, refused: Refused, setting: dict[str, Any], code: str) -> None:
        found = refused(s3.put_bucket_encryption, Bucket="box", ServerSideEncryptionConfiguration=setting)
        assert found == (code, 400)


class TestAccess:
    def test_public_access_block(self, s3: Any, refused: Refused) -> None:
        missing = ("NoSuchPublicAccessBlockConfiguration", 404)
        assert refused(s3.get_public_access_block, Bucket="box") == missing
        s3.put_public_access_block(Bucket="box", PublicAccessBlockConfiguration=BLOCK)
        assert s3.get_public_access_block(Bucket="box")["PublicAccessBlockConfiguration"] == BLOCK
        s3.delete_public_access_block(Bucket="box")
        assert refused(s3.get_public_access_block, Bucket="box") == missing

    def test_ownership(self, s3: Any, refused: Refused) -> None:
        def found(bucket: str) -> str:
            rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
            return str(rules[0]["ObjectOwnership"])

        assert found("box") == "BucketOwnerEnforced"
        controls = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
        s3.put_bucket_ownership_controls(Bucket="box", OwnershipControls=controls)
        assert found("box") == "BucketOwnerPreferred"
        s3.create_bucket(Bucket="other", ObjectOwnership="ObjectWriter")
        assert found("other") == "ObjectWriter"
        wrong = {"Rules": [{"ObjectOwnership": "Nobody"}]}
        assert refused(s3.put_bucket_ownership_controls, Bucket="box", OwnershipControls=wrong)[0] == "MalformedXML"
        assert refused(s3.create_bucket, Bucket="third", ObjectOwnership="Nobody")[0] == "InvalidArgument"

    def test_a_lock_is_refused(self, s3: Any, refused: Refused) -> None:
        assert refused(s3.create_bucket, Bucket="third", ObjectLockEnabledForBucket=True) == ("NotImplemented", 501)
        assert refused(s3.head_bucket, Bucket="third") == ("404", 404)


class TestOnTheDisk:
    def test_they_outlive_the_process_and_not_the_bucket(self, s3: Any, store: LocalStore, refused: Refused) -> None:
        s3.put_bucket_tagging(Bucket="box", Tagging=tag_set(1))
        s3.put_public_access_block(Bucket="box", PublicAccessBlockConfiguration=BLOCK)
        assert (LocalStore(store.root).root / FOLDER / "box.json").is_file()
        assert [name for name, _ in store.buckets()] == ["box"]
        s3.delete_bucket(Bucket="box")
        s3.create_bucket(Bucket="box")
        assert refused(s3.get_bucket_tagging, Bucket="box") == ("NoSuchTagSet", 404)

    def test_nor_one_removed_by_hand(self, s3: Any, store: LocalStore, refused: Refused) -> None:
        s3.put_bucket_tagging(Bucket="box", Tagging=tag_set(1))
        (store.root / "box").rmdir()
        s3.create_bucket(Bucket="box")
        assert refused(s3.get_bucket_tagging, Bucket="box") == ("NoSuchTagSet", 404)

    def test_changed_at_once_all_are_there(self, store: LocalStore) -> None:
        store.create_bucket("box", "")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: change_settings(store, "box", {f"s{n}": {"a": "b"}}), range(16)))
        text = (store.root / FOLDER / "box.json").read_text()
        assert all(f'"s{n}"' in text for n in range(16))
        assert [path.name for path in (store.root / FOLDER).iterdir()] == ["box.json"]

    def test_of_no_bucket(self, s3: Any, refused: Refused) -> None:
        for call in (s3.get_bucket_tagging, s3.get_bucket_encryption, s3.get_public_access_block, s3.get_bucket_cors):
            assert refused(call, Bucket="absent") == ("NoSuchBucket", 404), call.__name__
        assert refused(s3.put_bucket_tagging, Bucket="absent", Tagging=tag_set(1)) == ("NoSuchBucket", 404)
        assert refused(s3.delete_bucket_policy, Bucket="absent") == ("NoSuchBucket", 404)


class TestNotSetUp:
    def test_what_is_missing(self, s3: Any, refused: Refused) -> None:
        for call, code in (
            (s3.get_bucket_policy, "NoSuchBucketPolicy"),
            (s3.get_bucket_policy_status, "NoSuchBucketPolicy"),
            (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
            (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
            (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
            (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
            (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
        ):
            assert refused(call, Bucket="box") == (code, 404), call.__name__

    def test_what_is_empty(self, s3: Any) -> None:
        for call in (
            s3.get_bucket_accelerate_configuration,
            s3.get_bucket_logging,
            s3.get_bucket_notification_configuration,
            s3.get_bucket_versioning,
        ):
            assert set(call(Bucket="box")) == {"ResponseMetadata"}, call.__name__
        assert s3.get_bucket_request_payment(Bucket="box")["Payer"] == "BucketOwner"

    def test_what_is_a_list(self, s3: Any, refused: Refused) -> None:
        for kind in ("analytics", "intelligent_tiering", "inventory", "metrics"):
            found = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket="box")
            assert found["IsTruncated"] is False, kind
            one = getattr(s3, f"get_bucket_{kind}_configuration")
            assert refused(one, Bucket="box", Id="x") == ("NoSuchConfiguration", 404), kind

    def test_what_can_be_set_to_nothing(self, s3: Any, refused: Refused) -> None:
        s3.put_bucket_notification_configuration(Bucket="box", NotificationConfiguration={})
        s3.put_bucket_logging(Bucket="box", BucketLoggingStatus={})
        s3.put_bucket_request_payment(Bucket="box", RequestPaymentConfiguration={"Payer": "BucketOwner"})
        topic = {"TopicConfigurations": [{"TopicArn": "arn:aws:sns:us-east-1:0:t", "Events": ["s3:ObjectCreated:*"]}]}
        put = s3.put_bucket_notification_configuration
        assert refused(put, Bucket="box", NotificationConfiguration=topic) == ("NotImplemented", 501)
        payer = {"Payer": "Requester"}
        assert refused(s3.put_bucket_request_payment, Bucket="box", RequestPaymentConfiguration=payer)[1] == 501

    def test_what_can_be_taken_away(self, s3: Any) -> None:
        for kind in ("policy", "cors", "lifecycle", "website", "replication"):
            assert getattr(s3, f"delete_bucket_{kind}")(Bucket="box")["ResponseMetadata"]["HTTPStatusCode"] == 204
