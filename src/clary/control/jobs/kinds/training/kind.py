"""The kind of job that CreateTrainingJob makes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from clary.control.jobs import folders
from clary.control.jobs.job import Job
from clary.control.jobs.kind import CreationContext, JobKind
from clary.control.jobs.kinds.training import metric_files, outputs, preparation
from clary.control.jobs.kinds.training.component import training_component
from clary.control.jobs.kinds.training.request import new_body
from clary.control.jobs.kinds.training.status import TrainingStatus, with_substitution
from clary.control.jobs.launch import Launch
from clary.control.jobs.metrics import MetricScanner, final_metrics
from clary.control.jobs.status import JobStatus
from clary.control.logs.streams import LogWriter
from clary.control.store.records import Record, StoreError
from clary.errors import ClaryError
from clary.vision.base.jobdir import JobDir

__all__ = ["KIND", "TrainingJobs"]

UPLOAD_PAUSE = 30.0  # seconds between two uploads of what is kept in the bucket while a job runs

_log = logging.getLogger(__name__)


class TrainingJobs(JobKind):
    """An algorithm or a program, run on channels of data, leaves a model."""

    name: ClassVar[str] = folders.TRAINING_JOB
    name_member: ClassVar[str] = "TrainingJobName"
    status: ClassVar[JobStatus] = TrainingStatus()
    log_group: ClassVar[str] = "/aws/sagemaker/TrainingJobs"

    def new_body(
        self, request: Mapping[str, Any], context: CreationContext, *, arn: str, region: str
    ) -> dict[str, Any]:
        configuration = context.settings.configuration
        return new_body(request, context.objects, arn=arn, region=region, configuration=configuration)

    def trial_component(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return training_component(body)

    def prepare(self, job: Job, host: str, log: LogWriter) -> Launch:
        return preparation.prepare(
            job.body,
            settings=job.context.settings,
            objects=job.context.objects,
            log=log,
            stream=job.log_file(host),
            isolated=job.context.launcher.isolated(),
            host=host,
            hosts=self.hosts(job.body),
        )

    def observer(self, job: Job) -> Callable[[], None]:
        """Count the metrics, and from time to time upload checkpoints and what else is followed."""
        # One a host: each log has its own place up to which it was read.
        meters = [
            MetricScanner(job.body, job.context.store, job.context.logs, job.group, job.stream(host))
            for host in self.hosts(job.body)
        ]
        uploads = _uploads(job)
        last = time.monotonic()
        said = False

        def observe() -> None:
            nonlocal last, said
            said = said or _tell_substitution(job)
            for meter in meters:
                try:
                    meter.scan()
                except StoreError as error:  # the next scan takes up where this one began
                    _log.warning("metrics of %s are not stored: %s", job.name, error)
            if time.monotonic() - last >= UPLOAD_PAUSE:
                last = time.monotonic()
                try:
                    uploads.upload()
                except (ClaryError, OSError) as error:  # it is tried again, and at the end it counts
                    _log.warning("folders of %s are not uploaded: %s", job.name, error)

        return observe

    def collect(self, job: Job, *, failed: bool) -> dict[str, Any]:
        """The model, unless the job failed, the other output and the last of what is followed."""
        settings, objects = job.context.settings, job.context.objects
        try:
            made = outputs.collect(job.body, settings=settings, objects=objects, model=not failed)
        finally:
            # Each also where the other cannot be stored.
            _uploads(job).upload()
        return {"ModelArtifacts": {"S3ModelArtifacts": made.model}} if made.model else {}

    def final(self, job: Job) -> dict[str, Any]:
        for host in self.hosts(job.body):
            metric_files.store_metrics(job, host)
        metrics = final_metrics(job.body, job.context.store)
        return {"FinalMetricDataList": metrics} if metrics else {}


def _tell_substitution(job: Job) -> bool:
    """Put into the transition's message what network is trained in place of which; whether there was anything to say.

    SDK v2 prints the message, and DescribeTrainingJob has no other place for words of ours.
    """
    noted = JobDir(job.host_folder(folders.FIRST_HOST) / "opt_ml").substituted()
    if noted is None:
        return False

    def change(found: Record) -> tuple[dict[str, Any], str] | None:
        if found.created != job.record.created:
            return None
        return with_substitution(found.body, *noted), found.status

    try:
        job.context.store.edit(KIND.name, job.name, change)
    except StoreError as error:  # the next look says it
        _log.warning("the record of the job %s cannot be written: %s", job.name, error)
        return False
    return True


def _uploads(job: Job) -> outputs.FolderUploads:
    return outputs.FolderUploads(job.body, settings=job.context.settings, objects=job.context.objects)


KIND = TrainingJobs()
