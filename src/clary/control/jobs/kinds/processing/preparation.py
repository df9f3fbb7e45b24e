"""A host's folder before its program starts: /opt/ml/processing with its inputs, and the configuration files.

    /opt/ml/config/processingjobconfig.json    the request
    /opt/ml/config/resourceconfig.json         the hosts
    /opt/ml/output/                            for message, which becomes ExitMessage
    any folder below /opt/ml/processing        as the inputs and outputs name it

Source: SageMaker developer guide, "How Amazon SageMaker Processing configures your processing container".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clary.control.jobs import channels, folders, launch
from clary.control.jobs.job import Job
from clary.control.jobs.kinds.processing import programs
from clary.control.jobs.kinds.processing.data import Input, Output, inputs_of, outputs_of, overlap
from clary.control.jobs.kinds.processing.programs import ImageCommand, Script
from clary.control.jobs.kinds.processing.request import instance_type
from clary.control.jobs.launch import Command, Launch
from clary.control.jobs.scripts import check_view, plan_of
from clary.control.logs.streams import LogWriter
from clary.control.objects.base import ObjectStore
from clary.control.platform_environment import platform_environment
from clary.errors import UsageError
from clary.vision.base.files import private_folder, write_json

__all__ = ["LEFT", "prepare"]

LEFT = ("environment", "scratch")  # of a host's folder: gone when its program has ended
# What the SDKs' processors bring along, and unpack and change.
CHANGED_BY_JOBS = frozenset({"code", "entrypoint"})

Body = Mapping[str, Any]


def prepare(job: Job, host: str, hosts: Sequence[str], log: LogWriter) -> Launch:
    """Make the folder of ``host`` ready, and say how its program is started. Blocks. A second call starts over.

    Raises CustomerError or ServiceError for what the customer can mend (image, input), OSError or UsageError for what
    the machine lacks.
    """
    body, settings, objects = job.body, job.context.settings, job.context.objects
    isolated = job.context.launcher.isolated()
    program = programs.resolve(body["AppSpecification"], settings.configuration.images)
    _check_view(program, isolated, hosts, log)
    folder = job.host_folder(host)
    for left in (*LEFT, "opt_ml"):
        folders.remove_below(folder, left)
    private_folder(folder)
    opt_ml = folder / "opt_ml"
    (opt_ml / "output").mkdir(parents=True)
    inputs, outputs = inputs_of(body), outputs_of(body)
    shielded = _fetch(inputs, outputs, opt_ml, objects, (hosts.index(host), len(hosts)), isolated=isolated, log=log)
    for one in outputs:
        # Made by the platform: they exist when the entry point is called (API reference, ProcessingS3Output).
        opt_ml.joinpath(*one.parts).mkdir(parents=True, exist_ok=True)
    _write_configuration(body, opt_ml / "config", hosts, host)
    given = body.get("Environment") or {}
    return Launch(
        job=job.name,
        kind=job.record.kind,
        host=host,
        folder=folder,
        log=job.log_file(host),
        program=_launched(program, job, folder, _emptied(inputs, outputs), isolated=isolated),
        environment=platform_environment(settings, body["ProcessingJobArn"].split(":")[3], own={}),
        # Those for a script go with its plan: the toolkit, which runs first, is a program of ours.
        given={} if isinstance(program, Script) else given,
        namespace=isolated,
        inputs=shielded,
        hosts=tuple(hosts),
        max_run=float(body["StoppingCondition"]["MaxRuntimeInSeconds"]),
        grace=settings.stop_grace,
        attempt=int(body.get("_attempt") or 1),
        s3_root=settings.s3_root,
        s3_endpoint=settings.s3_endpoint,
        region=settings.region,
    )


def _check_view(program: ImageCommand | Script, isolated: bool, hosts: Sequence[str], log: LogWriter) -> None:
    """Raises UsageError where a program could not have its own /opt/ml/processing."""
    if isolated:
        return
    if len(hosts) > 1:
        what = "several hosts on one machine each need their own, and the kernel gives this user no mount namespaces"
        raise UsageError(what, where="/opt/ml", hint="set InstanceCount to 1")
    if isinstance(program, Script):
        check_view(isolated)
        log.write("The kernel gives this user no mount namespace: one script at a time has its links in /opt/ml")
    else:
        log.write("The kernel gives this user no mount namespace: /opt/ml is where SAGEMAKER_BASE_DIR says")


def _fetch(
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    opt_ml: Path,
    objects: ObjectStore,
    share: tuple[int, int],
    *,
    isolated: bool,
    log: LogWriter,
) -> tuple[Path, ...]:
    """Fill the folder of every input; those that hold links into the store, and nothing that is in another of them.

    ``share`` is the number of the host, from 0, and that of all hosts.
    """
    host, hosts = share
    linked = []
    for one in inputs:
        folder = opt_ml.joinpath(*one.parts)
        # What stands before links would swallow what is written there, and an output is read from behind it.
        link = isolated and one.name not in CHANGED_BY_JOBS and not any(overlap(one.path, o.path) for o in outputs)
        # A folder of the machine itself would be linked as a whole, and another input may lie in it.
        link = link and one.channel["DataSource"]["S3DataSource"]["S3Uri"].startswith("s3://")
        count = channels.fill(one.channel, "File", folder, objects, host=host, hosts=hosts, linked=link)
        if hosts > 1 and not count:
            log.write(f"The input {one.name} has fewer objects than there are hosts: {one.path} is empty on this one")
        if link:
            linked.append(folder)
    return tuple(one for one in linked if not any(one != other and one.is_relative_to(other) for other in linked))


def _write_configuration(body: Body, config: Path, hosts: Sequence[str], current: str) -> None:
    config.mkdir()
    application, cluster = body["AppSpecification"], body["ProcessingResources"]["ClusterConfig"]
    told = {
        "ProcessingJobArn": body["ProcessingJobArn"],
        "ProcessingJobName": body["ProcessingJobName"],
        "AppSpecification": {"ContainerEntrypoint": None, "ContainerArguments": None, **application},
        "Environment": body.get("Environment") or {},
        "ProcessingInputs": body.get("ProcessingInputs") or [],
        "ProcessingOutputConfig": {"KmsKeyId": None, "Outputs": [], **(body.get("ProcessingOutputConfig") or {})},
        "ProcessingResources": {"ClusterConfig": {"VolumeKmsKeyId": None, **cluster}},
        "RoleArn": body["RoleArn"],
        "StoppingCondition": body["StoppingCondition"],
    }
    write_json(config / "processingjobconfig.json", told)
    # The guide shows the first two; the SDK's local mode writes the others, too.
    resources = {
        "current_host": current,
        "hosts": sorted(hosts),
        "current_instance_type": instance_type(body),
        "network_interface_name": "lo",
    }
    write_json(config / "resourceconfig.json", resources)


def _emptied(inputs: Sequence[Input], outputs: Sequence[Output]) -> list[str]:
    """Outputs that every attempt begins without; in one that is an input too nobody can tell the one from the other."""
    free = [one for one in outputs if not any(overlap(one.path, given.path) for given in inputs)]
    return ["/".join(one.parts) for one in free]


def _launched(
    program: ImageCommand | Script, job: Job, folder: Path, emptied: Sequence[str], *, isolated: bool
) -> launch.Program:
    if isinstance(program, ImageCommand):
        return Command(program.argv)
    file = folder / "script.json"
    plan_of(
        program,
        job.body["AppSpecification"]["ImageUri"],
        folder=folder,
        settings=job.context.settings,
        isolated=isolated,
        variables=job.body.get("Environment") or {},
        command=programs.command(program),
        emptied=emptied,
    ).write(file)
    return launch.Script(str(file), "clary.toolkit.process")
