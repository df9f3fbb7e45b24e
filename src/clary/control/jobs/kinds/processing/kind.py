"""The kind of job that CreateProcessingJob makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from clary.control.jobs import folders
from clary.control.jobs.job import Job
from clary.control.jobs.kind import CreationContext, JobKind
from clary.control.jobs.kinds.processing import outputs, preparation
from clary.control.jobs.kinds.processing.component import processing_component
from clary.control.jobs.kinds.processing.request import host_count, new_body
from clary.control.jobs.launch import Launch
from clary.control.jobs.status import JobStatus, Stage
from clary.control.logs.streams import LogWriter

__all__ = ["KIND", "ProcessingJobs"]


class ProcessingJobs(JobKind):
    """A program, run on folders of data, leaves folders of data."""

    name: ClassVar[str] = "processing-job"
    name_member: ClassVar[str] = "ProcessingJobName"
    status: ClassVar[JobStatus] = JobStatus("ProcessingJobStatus", "ProcessingStartTime", "ProcessingEndTime")
    log_group: ClassVar[str] = "/aws/sagemaker/ProcessingJobs"
    inputs: ClassVar[tuple[str, ...]] = (*preparation.LEFT, "hosts")
    # Inputs lie beside the outputs, or around them, as the request has it.
    results: ClassVar[tuple[str, ...]] = ("opt_ml/processing",)
    unexplained: ClassVar[str] = "AlgorithmError: See job logs for more information"  # SageMaker's own words

    def new_body(
        self, request: Mapping[str, Any], context: CreationContext, *, arn: str, region: str
    ) -> dict[str, Any]:
        rules = context.settings.configuration.images
        body = new_body(request, context.objects, arn=arn, region=region, rules=rules)
        return self.status.advance(body, Stage.STARTING, now=time.time())

    def trial_component(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return processing_component(body)

    def hosts(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        return folders.host_names(host_count(body))

    def prepare(self, job: Job, host: str, log: LogWriter) -> Launch:
        return preparation.prepare(job, host, self.hosts(job.body), log)

    def observer(self, job: Job) -> Callable[[], None]:
        return outputs.synchronizer(job, self.hosts(job.body))

    def collect(self, job: Job, *, failed: bool) -> dict[str, Any]:
        outputs.collect(job, self.hosts(job.body), failed=failed)
        return {}

    def final(self, job: Job) -> dict[str, Any]:
        said = outputs.exit_message(job, self.hosts(job.body))
        return {"ExitMessage": said} if said else {}


KIND = ProcessingJobs()
