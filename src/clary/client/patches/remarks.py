"""What `clary run` says beside a program's own words: that a job has begun, and how a bucket of AWS's is had here."""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLLOW = "CLARY_FOLLOW"  # the command that follows a job, {} in the place of its name
AWS_OWN = "it is AWS's own"  # as control.objects.aws_buckets words it
_KINDS = ("TrainingJob", "ProcessingJob")
_told = set()  # type: set[str]


def connect(session: Any) -> None:
    """Have the clients of a botocore session say it."""
    for kind in _KINDS:
        session.register("after-call.sagemaker.Create" + kind, _say_started)
    for operation in ("HeadObject", "HeadBucket"):
        session.register("after-call.s3." + operation, _note_bucket)


def _say_started(parsed: Any, **_: Any) -> None:
    arns = [parsed.get(kind + "Arn") for kind in _KINDS]
    name = str(next(filter(None, arns), "")).rpartition("/")[2]
    if name:
        _say("job {} started; follow it: {}".format(name, os.environ[FOLLOW].replace("{}", name)))


def _note_bucket(parsed: Any, **_: Any) -> None:
    """An answer to HEAD has no body, and the error that programs make of it is `Not Found` alone."""
    message = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-error-message", "")
    if AWS_OWN in message and message not in _told:
        _told.add(message)
        # After the traceback, where it is read.
        atexit.register(_say, message)


def _say(text: str) -> None:
    sys.stderr.write("clary: " + text + "\n")
    sys.stderr.flush()
