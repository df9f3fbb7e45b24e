"""What a processing job leaves behind, put into the buckets it named: every file of a folder below the output's URI.

Each host stores its own; of two files of one name the later stays, as on SageMaker.
"""

from __future__ import annotations

import codecs
import logging
import os
from collections.abc import Callable, Sequence

from clary.control.jobs.folders import missing
from clary.control.jobs.job import Job
from clary.control.jobs.kinds.processing.data import Output, outputs_of
from clary.control.jobs.results import FolderUpload, opened_results
from clary.control.logs.streams import LogWriter
from clary.errors import ClaryError, CustomerError

__all__ = ["collect", "exit_message", "synchronizer"]

MESSAGE = ("output", "message")
MESSAGE_LIMIT = 1024  # bytes of ExitMessage

_log = logging.getLogger(__name__)


def synchronizer(job: Job, hosts: Sequence[str]) -> Callable[[], None]:
    """What keeps the objects of Continuous outputs as their folders are; to be called every few seconds."""
    # By the last look, when the programs have ended, ``collect`` has stored all.
    live = [] if job.body["_phase"] == "uploading" else [one for one in outputs_of(job.body) if one.continuous]
    uploads = [_upload(job, host, one) for host in hosts for one in live]

    def synchronize() -> None:
        for one in uploads:
            try:
                one.upload(refused=lambda error: None)
            except (ClaryError, OSError) as error:  # it is tried again, and at the end it counts
                _log.warning("outputs of %s are not uploaded: %s", job.name, error)

    return synchronize


def collect(job: Job, hosts: Sequence[str], *, failed: bool) -> None:
    """Put what the hosts left into the buckets; of a failed job only what was to be there while it ran. Blocks.

    A second call puts the same in the same places. Raises NoSuchBucket, CustomerError naming an output that is a link
    itself, or a message that is no text, UsageError and OSError for a full disk, ClaryError where the tree vanished.
    """
    for host in hosts:
        # Of a tree that is not there nothing would be stored, and the job called Completed.
        if (gone := missing(job.host_folder(host), "opt_ml")) is not None:
            raise gone
        log = job.context.logs.writer(job.group, job.stream(host))
        try:
            for one in outputs_of(job.body):
                if failed and not one.continuous:
                    log.write(f"The output {one.name} is not stored: the job failed, and its S3UploadMode is EndOfJob")
                else:
                    _store(one, _upload(job, host, one), log)
        finally:
            log.close()
    exit_message(job, hosts, strict=True)


def _store(output: Output, upload: FolderUpload, log: LogWriter) -> None:
    # As on SageMaker (developer guide): links are not followed, and no reason to fail.
    upload.upload(hidden=True, refused=lambda error: log.write(f"Not stored: {error}"))
    if not len(upload):
        log.write(f"The output {output.name} is empty: nothing lies in {output.path} to be stored in {output.uri}")


def exit_message(job: Job, hosts: Sequence[str], *, strict: bool = False) -> str:
    """The first KiB of what the programs wrote to /opt/ml/output/message.

    With ``strict`` raises CustomerError for what is not UTF-8, as SageMaker fails a job for it.
    """
    said = [_message(job, host) for host in hosts]
    for one in said if strict else ():
        try:
            # Not the end of the text: the limit may have cut its last character in half.
            codecs.getincrementaldecoder("utf-8")().decode(one)
        except UnicodeDecodeError as error:
            what = f"is not UTF-8 (byte {error.start})"
            raise CustomerError(what, where="/opt/ml/output/message", hint="write text") from error
    return b"".join(said)[:MESSAGE_LIMIT].decode(errors="ignore").replace("\0", "")


def _message(job: Job, host: str) -> bytes:
    *parts, name = MESSAGE
    try:
        with opened_results(job.host_folder(host), *parts) as tree:
            for entry in tree.entries(refused=lambda error: None):
                if entry.name == name and not entry.is_folder:
                    return os.pread(entry.descriptor, MESSAGE_LIMIT, 0)
    except (CustomerError, OSError):  # anything else a program may have laid there
        return b""
    return b""


def _upload(job: Job, host: str, one: Output) -> FolderUpload:
    return FolderUpload(job.host_folder(host), one.parts, one.target, job.context.objects)
