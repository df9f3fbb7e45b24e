"""Buckets that programs name and AWS has: what to say of one that is not here."""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from clary.control import families

__all__ = ["log_remark", "remark"]

log = logging.getLogger(__name__)

_REGION = r"[a-z]{2}(-[a-z]+)+-\d"
# Those that AWS's own examples, notebooks and SDKs read.
_SAMPLES = re.compile(
    rf"jumpstart-(cache|private)-.*|sagemaker-(sample|example|servicecatalog|solutions|hosted|workshop|built-in).*"
    rf"|sagemaker-{_REGION}(-prod.*)?|aws-ml-blog.*|aws-sagemaker.*|aws-samples.*|amazon-(reviews|sagemaker).*"
    # The registry of open data, as far as it is pictures.
    r"|fast-ai-(imageclas|coco|imagelocal)|multimedia-commons|open-images-dataset|spacenet-dataset|landsat-pds"
    r"|sentinel-(s2|inventory|cogs).*"
)
_DEFAULT = re.compile(rf"sagemaker-(?P<region>{_REGION})-(?P<account>\d{{12}})")


def remark(bucket: str) -> str:
    """How a bucket of AWS's, or another account's, is had here; empty for any other name.

    Buckets of the samples are mapped by name, to a folder that has their files.
    """
    if own := _DEFAULT.fullmatch(bucket):
        return (
            f"; it is the default bucket of the account {own['account']}: take that of the account here, which "
            "`Session().default_bucket()` gives"
        )
    if not _SAMPLES.fullmatch(bucket):
        return ""
    family = families.of_bucket(bucket)
    return (
        f"; it is AWS's own: fetch its files where AWS can be reached (`aws s3 sync s3://{bucket}/PREFIX "
        f'FOLDER/PREFIX`), add the line "{bucket}" = "FOLDER" under [buckets] in clary.toml, and start the platform '
        "again (docs/guides/bring-data.md)"
    ) + (f"; without {family.name}: {family.instead}" if family else "")


@lru_cache(maxsize=100)
def log_remark(bucket: str) -> None:
    """Say it in the log, once for each bucket: an answer to HEAD has no words that programs show."""
    if found := remark(bucket):
        log.warning("The bucket %s was looked for and is not here%s", bucket, found)
