"""A host's folder before its program starts: the /opt/ml tree with its configuration files, channels and checkpoints.

Where it lies, and what else is there: clary.control.jobs.folders.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from clary.control.jobs import channels, folders, pipe_plan
from clary.control.jobs.environment import platform_environment
from clary.control.jobs.folders import FIRST_HOST, TRAINING_JOB, remove_tree
from clary.control.jobs.kinds.training import programs, scripts
from clary.control.jobs.kinds.training.metric_files import METRIC_FILES, METRIC_FILES_VARIABLE
from clary.control.jobs.kinds.training.programs import Builtin, ImageCommand, Rules, Script
from clary.control.jobs.launch import Algorithm, Command, Launch, Program
from clary.control.jobs.pipe_plan import PipePlan
from clary.control.logs.streams import LogWriter
from clary.control.objects.base import NoSuchBucket, ObjectStore, S3Uri
from clary.control.objects.machine_files import place_of
from clary.control.request_environment import for_our_program, withheld_line
from clary.control.settings import Settings
from clary.errors import CustomerError
from clary.toolkit.hyperparameters import decode
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.files import private_folder, reserve, write_json
from clary.vision.base.jobdir import SUBSTITUTE_WEIGHTS, JobDir

__all__ = ["checkpoint_folder", "environment", "followed_folders", "prepare", "resource_config"]

OPT_ML = PurePosixPath("/opt/ml")
CHECKPOINTS = "/opt/ml/checkpoints"
CHECKPOINTS_IN_THE_MAKING = ".checkpoints."  # begins the name of a folder into which they are fetched
TENSORBOARD = "/opt/ml/output/tensorboard"
TENSORS = "/opt/ml/output/tensors"
INTERMEDIATE = "/opt/ml/output/intermediate"
# SDK v3's channels: a job makes their scripts executable.
CHANGED_BY_JOBS = frozenset({"code", "sm_drivers"})
DAY = 86_400

Body = Mapping[str, Any]


def prepare(
    body: Body,
    *,
    settings: Settings,
    objects: ObjectStore,
    log: LogWriter,
    stream: Path,
    isolated: bool,
    host: str = FIRST_HOST,
    hosts: Sequence[str] = (FIRST_HOST,),
) -> Launch:
    """Make the folder of ``host``, one of the job's ``hosts``, ready, and say how its program is started. Blocks.

    ``body`` is the record's; ``log`` writes to the file ``stream``, which the program's output will go to.
    ``isolated`` says whether hosts get their own absolute /opt/ml. A second call starts over: only checkpoints of the
    attempt before are kept.

    Raises CustomerError or ServiceError for what the customer can mend (image, hyperparameter, channel, bucket),
    OSError or UsageError for what the machine lacks; ``jobs.reasons.of_error`` words both.
    """
    rules = settings.configuration.images
    program = programs.resolve(body["AlgorithmSpecification"], rules)
    _check_hyperparameters(body, log, rules)
    _check_bucket(body, objects)
    whole = folders.job_folder(settings, TRAINING_JOB, body["TrainingJobName"])
    folder = folders.host_folder(whole, host)
    job = JobDir(folder / "opt_ml")
    _start_over(whole, folder, body)
    _fetch_checkpoints(body, job, objects, log, rules)
    share = (hosts.index(host), len(hosts))
    given = _resolved(body, settings)
    # Links are for those who cannot write through them: an overlay stands before them, or our own algorithms read.
    inputs = _fetch_channels(given, job, objects, share, linked=isolated or isinstance(program, Builtin))
    _write_configuration(body, job, list(hosts), host)
    _make_folders(body, job, program, rules)
    # A script finds its folders in /opt/ml also where there is no mount namespace.
    seen = OPT_ML if isolated or isinstance(program, Script) else job.root
    _say(body, program, isolated, log)
    return Launch(
        job=body["TrainingJobName"],
        kind=TRAINING_JOB,
        host=host,
        folder=folder,
        log=stream,
        program=_launched(program, body, folder, job, settings, objects, log, isolated),
        environment={**environment(body, settings), METRIC_FILES_VARIABLE: str(seen.joinpath(*METRIC_FILES))},
        # Those for a script go with its plan: the toolkit, which runs first, is a program of ours.
        given={} if isinstance(program, Script) else body.get("Environment") or {},
        namespace=isolated,
        inputs=inputs,
        hosts=tuple(hosts),
        max_run=float(body.get("StoppingCondition", {}).get("MaxRuntimeInSeconds") or DAY),
        grace=settings.stop_grace,
        attempt=int(body.get("_attempt") or 1),
        pipes=_plan_pipes(given, folder / "pipes", objects, share),
        s3_root=settings.s3_root,
        s3_buckets={name: str(folder) for name, folder in settings.configuration.buckets.items()},
        s3_endpoint=settings.s3_endpoint,
        region=settings.region,
    )


def _make_folders(body: Body, job: JobDir, program: Builtin | ImageCommand | Script, rules: Rules) -> None:
    """Those that programs expect to be there."""
    for folder in (*followed_folders(body, job.root, rules), job.root.joinpath(*METRIC_FILES)):
        folder.mkdir(parents=True, exist_ok=True)
    if isinstance(program, Builtin):
        # Now, not when it runs: on a disk that is full by then it could not say why it ends, and a disk that is full
        # here is said in its place.
        reserve(job.room)


def environment(body: Body, settings: Settings) -> dict[str, str]:
    """The platform's part of the environment of a job's program."""
    own = {
        # SDK v3's drivers do not start without it.
        "TRAINING_JOB_NAME": body["TrainingJobName"],
        "TRAINING_JOB_ARN": body["TrainingJobArn"],
    } | ({SUBSTITUTE_WEIGHTS: "1"} if settings.substitute_weights else {})
    region = body["TrainingJobArn"].split(":")[3]
    return platform_environment(settings, region, own=own)


def resource_config(body: Body, hosts: list[str], current: str = FIRST_HOST) -> dict[str, Any]:
    """What resourceconfig.json says to the host ``current``. All hosts are this machine, so they meet on ``lo``."""
    config = body.get("ResourceConfig") or {}
    groups = config.get("InstanceGroups") or [{"InstanceType": config.get("InstanceType", "local")}]
    name = groups[0].get("InstanceGroupName", "homogeneousCluster")
    kind = groups[0].get("InstanceType", "local")
    # All fields, always: the toolkit makes do with current_host and hosts, SDK v3's drivers also want the instance type
    # and the network interface. Hosts are sorted as text, as SageMaker has them: algo-10 before algo-2.
    return {
        "current_host": current,
        "current_instance_type": kind,
        "current_group_name": name,
        "hosts": sorted(hosts),
        "instance_groups": [{"instance_group_name": name, "instance_type": kind, "hosts": sorted(hosts)}],
        "network_interface_name": "lo",
    }


def checkpoint_folder(body: Body, opt_ml: Path, rules: Rules = ()) -> Path | None:
    """Where a job's checkpoints lie on this machine; None when the request has no CheckpointConfig.

    A built-in algorithm writes to the default folder whatever LocalPath says, as on SageMaker. ``rules`` are those of
    clary.toml. Raises CustomerError for a LocalPath that is not below /opt/ml, or is the platform's own.
    """
    config = body.get("CheckpointConfig")
    if not config:
        return None
    if isinstance(programs.resolve(body["AlgorithmSpecification"], rules), Builtin):
        return opt_ml / "checkpoints"
    path = PurePosixPath(config.get("LocalPath") or CHECKPOINTS)
    inside = _inside(path)
    if not inside or inside[0] in ("input", "model", "output", "code"):
        what = f"CheckpointConfig.LocalPath `{path}` cannot be used"
        raise CustomerError(what, hint=f"name a folder of its own below /opt/ml, {CHECKPOINTS} say")
    return opt_ml.joinpath(*inside)


def followed_folders(body: Body, opt_ml: Path, rules: Rules = ()) -> dict[Path, S3Uri]:
    """The folders that are kept in the bucket while the job runs, and where: those of checkpoints, of TensorBoard's
    logs, and /opt/ml/output/intermediate of a job with the hyperparameter sagemaker_s3_output.

    Raises CustomerError for a LocalPath or an S3 URI that cannot be used. Source: sagemaker-training 5.1.4,
    intermediate_output.py; SDK v2, ``latest_job_tensorboard_artifacts_path``.
    """
    found = {}
    if folder := checkpoint_folder(body, opt_ml, rules):
        found[folder] = S3Uri.parse(body["CheckpointConfig"]["S3Uri"])
    if config := body.get("TensorBoardOutputConfig"):
        path = PurePosixPath(config.get("LocalPath") or TENSORBOARD)
        inside = _inside(path)
        if not inside or inside[0] in ("input", "model", "code") or inside[:2] == ("output", "data"):
            what = f"TensorBoardOutputConfig.LocalPath `{path}` cannot be used"
            raise CustomerError(what, hint=f"name a folder of its own below /opt/ml, {TENSORBOARD} say")
        at = S3Uri.parse(config["S3OutputPath"])
        found[opt_ml.joinpath(*inside)] = at.join(body["TrainingJobName"], "tensorboard-output")
    place = (decode(body.get("HyperParameters") or {}).toolkit).get("sagemaker_s3_output")
    if isinstance(place, str) and place.startswith("s3://"):
        folder = opt_ml.joinpath(*_inside(PurePosixPath(INTERMEDIATE)))
        found[folder] = S3Uri.parse(place).join(body["TrainingJobName"], "output", "intermediate")
    return found


def _inside(path: PurePosixPath) -> tuple[str, ...]:
    """The parts of a path below /opt/ml; none of any other."""
    inside = path.parts[len(OPT_ML.parts) :] if path.is_relative_to(OPT_ML) else ()
    return () if ".." in inside else inside


def _check_hyperparameters(body: Body, log: LogWriter, rules: Rules) -> None:
    """Before anything is fetched. The log says what the algorithm itself would have said."""
    spec = programs.spec_of(body["AlgorithmSpecification"], rules)
    if spec is None:
        return
    try:
        spec.parse(body.get("HyperParameters") or {})
    except CustomerError as error:
        JobLog(echo=log.write).error(f"Customer Error: {error}")
        raise


def _check_bucket(body: Body, objects: ObjectStore) -> None:
    """Rather now than after hours of training: a job may have waited since it was created."""
    uri = place_of(body["OutputDataConfig"]["S3OutputPath"])
    if not objects.bucket_exists(uri.bucket):
        raise NoSuchBucket(uri.bucket)


def _start_over(job: Path, folder: Path, body: Body) -> None:
    """An empty ``folder`` of a host but for checkpoints of this very job, whose own folder is ``job``."""
    folders.claim(job, folders.mark(body["TrainingJobArn"], body.get("CreationTime", "")))
    for left in ("scratch", "pipes", "feeds", "opt_ml/input", "opt_ml/model", "opt_ml/output", *scripts.LEFT):
        folders.remove_below(folder, left)
    private_folder(folder)


def _fetch_checkpoints(body: Body, job: JobDir, objects: ObjectStore, log: LogWriter, rules: Rules) -> None:
    """What lies under CheckpointConfig.S3Uri, unless an attempt before has left its own. Whole or not at all."""
    folder = checkpoint_folder(body, job.root, rules)
    if folder is None or folder.exists():
        return
    uri = S3Uri.parse(body["CheckpointConfig"]["S3Uri"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in job.root.parent.glob(f"{CHECKPOINTS_IN_THE_MAKING}*"):
        remove_tree(left)
    # Made beside it and renamed: a part that a killed gateway left would pass for an earlier attempt's own, see above.
    temporary = Path(tempfile.mkdtemp(dir=job.root.parent, prefix=CHECKPOINTS_IN_THE_MAKING))
    try:
        count = channels.copy_below(uri, temporary, objects)
        # mkdtemp lets in nobody but this user.
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        remove_tree(temporary)
    if count:
        log.write(f"Copied {count} checkpoint files from {uri}")


def _resolved(body: Body, settings: Settings) -> Body:
    """The body with its file systems as the folders that clary.toml maps them to. Raises CustomerError."""
    filesystems, mode = settings.configuration.filesystems, _mode(body)
    given = body.get("InputDataConfig") or ()
    return {**body, "InputDataConfig": [channels.resolved(channel, mode, filesystems) for channel in given]}


def _fetch_channels(
    body: Body, job: JobDir, objects: ObjectStore, share: tuple[int, int], *, linked: bool
) -> tuple[Path, ...]:
    """Fill the folder of every channel that has one; those that hold links into the store.

    ``share`` is the number of the host, from 0, and that of all hosts.
    """
    host, hosts = share
    mode = _mode(body)
    shielded = []
    for channel in _channels(body, piped=False):
        name = channel["ChannelName"]
        link = linked and name not in CHANGED_BY_JOBS
        channels.fill(channel, mode, job.data / name, objects, host=host, hosts=hosts, linked=link)
        if link:
            shielded.append(job.data / name)
    return tuple(shielded)


def _plan_pipes(body: Body, folder: Path, objects: ObjectStore, share: tuple[int, int]) -> tuple[PipePlan, ...]:
    host, hosts = share
    given = _channels(body, piped=True)
    return tuple(pipe_plan.plan(channel, folder, objects, host=host, hosts=hosts) for channel in given)


def _channels(body: Body, *, piped: bool) -> list[Mapping[str, Any]]:
    given = body.get("InputDataConfig") or ()
    return [channel for channel in given if (channels.input_mode(channel, _mode(body)) == "Pipe") is piped]


def _mode(body: Body) -> str:
    return str(body["AlgorithmSpecification"]["TrainingInputMode"])


def _write_configuration(body: Body, job: JobDir, hosts: list[str], current: str) -> None:
    mode = _mode(body)
    given = body.get("InputDataConfig") or ()
    described = {c["ChannelName"]: channels.described(c, mode, job.data / c["ChannelName"]) for c in given}
    # hyperparameters.json and inputdataconfig.json are there even when empty: toolkit and drivers open them unasked.
    JobDir.create(job.root, body.get("HyperParameters") or {}, described, resource_config(body, hosts, current))
    for name, value in _further_configuration(body).items():
        write_json(job.config / name, value)


def _further_configuration(body: Body) -> dict[str, dict[str, Any]]:
    """The files that are there only with their part of the request. Keys as smdebug reads them."""
    files: dict[str, dict[str, Any]] = {}
    if config := body.get("CheckpointConfig"):
        files["checkpointconfig.json"] = {"S3Uri": config["S3Uri"], "LocalPath": config.get("LocalPath") or CHECKPOINTS}
    if config := body.get("TensorBoardOutputConfig"):
        local = config.get("LocalPath") or TENSORBOARD
        files["tensorboardoutputconfig.json"] = {"LocalPath": local, "S3OutputPath": config["S3OutputPath"]}
    if config := body.get("DebugHookConfig"):
        files["debughookconfig.json"] = {
            "LocalPath": config.get("LocalPath") or TENSORS,
            "S3OutputPath": config["S3OutputPath"],
            "HookParameters": config.get("HookParameters"),
            "CollectionConfigurations": config.get("CollectionConfigurations") or [],
        }
    return files


def _launched(
    program: Builtin | ImageCommand | Script,
    body: Body,
    folder: Path,
    job: JobDir,
    settings: Settings,
    objects: ObjectStore,
    log: LogWriter,
    isolated: bool,
) -> Program:
    if isinstance(program, Builtin):
        return Algorithm(program.name)
    if not isinstance(program, Script):
        return Command(program.argv)
    try:
        return scripts.plan_script(
            program, body, folder=folder, job=job, settings=settings, objects=objects, isolated=isolated
        )
    except CustomerError as error:
        # Who follows the log would otherwise see it end without a word.
        log.write(f"ClientError: {error}")
        raise


def _say(body: Body, program: Builtin | ImageCommand | Script, isolated: bool, log: LogWriter) -> None:
    config = body.get("ResourceConfig") or {}
    count = sum(int(group.get("InstanceCount") or 1) for group in config.get("InstanceGroups") or [config])
    if count > 1:
        log.write(f"{count} instances were asked for: the program runs once on this machine, on all of the data")
    if not isolated and isinstance(program, Script):
        log.write("The kernel gives this user no mount namespace: one script at a time has its links in /opt/ml")
    elif not isolated:
        log.write("The kernel gives this user no mount namespace: /opt/ml is where SAGEMAKER_BASE_DIR says")
    for channel in body.get("InputDataConfig") or ():
        files = channel["DataSource"].get("FileSystemDataSource") or {}
        if files.get("FileSystemAccessMode") == "rw":
            log.write(f"FileSystemAccessMode rw: the {channel['ChannelName']} channel is only read here")
    if (config.get("KeepAlivePeriodInSeconds") or 0) > 0:
        log.write("KeepAlivePeriodInSeconds: kept without effect, there is no warm pool: a job starts within a second")
    if body.get("EnableManagedSpotTraining"):
        log.write(
            "EnableManagedSpotTraining: kept without effect, nothing interrupts a job here: all of its time is billable"
        )
    given = body.get("Environment") or {}
    if isinstance(program, Builtin):
        if withheld := for_our_program(given)[1]:
            log.write(withheld_line(withheld, f"the built-in algorithm {program.name}"))
    elif not isolated and "SAGEMAKER_BASE_DIR" in given:
        log.write("Environment: SAGEMAKER_BASE_DIR stays as the platform sets it, since /opt/ml lies there")
