"""A variant that is served by code of the user's own: its tree, and the plan for the toolkit that serves it.

FOLDER/plan.json            toolkit.plan
FOLDER/opt_ml/model         the model data
FOLDER/opt_ml/code          the code, where SAGEMAKER_SUBMIT_DIRECTORY is an archive in a bucket
FOLDER/environment          the worker's own layer of packages
FOLDER/failure              why it could not be loaded (toolkit.serve)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from clary.control.configuration import InstalledEnvironment, RequirementsEnvironment
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.model_data import place
from clary.control.hosting.process import Worker
from clary.control.hosting.variants import Variant
from clary.control.images import ImageCommand, Script, repository
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.platform_environment import platform_environment
from clary.control.settings import Settings
from clary.control.wire.errors import ServiceError
from clary.errors import ClaryError, CustomerError
from clary.toolkit import serve
from clary.toolkit.plan import Plan
from clary.toolkit.serving.user_code import program_of
from clary.toolkit.source import unpack
from clary.vision.base.files import atomic_folder

__all__ = ["plan_code", "spawn"]

SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"


async def spawn(sockets: Path, environment: Mapping[str, str], *, settings: Settings, ahead: bool = False) -> Worker:
    """A worker for code of the user's own; it has the platform's variables and ``environment``."""
    variables = {**platform_environment(settings, settings.region, own={}), **environment}
    return await Worker.spawn(sockets, variables, words=partial(serve.command, ahead=ahead), inherited={})


def plan_code(
    variant: Variant, program: Script | ImageCommand, folder: Path, settings: Settings, objects: ObjectStore
) -> Path:
    """Fetch what the variant needs into ``folder`` and write its plan there: the plan's file. Blocks.

    Raises StartFailed.
    """
    model = folder / serve.TREE / "model"
    try:
        if variant.data:
            place(variant.data, model, objects, archive=variant.archive, trained_here=False)
        # Of a container of the user's own that has its model with it.
        model.mkdir(parents=True, exist_ok=True)
        source = variant.environment.get(SUBMIT_DIRECTORY, "")
        if source.startswith("s3://") and not (model / "code" / program_of(variant.environment)).is_file():
            _fetch(source, folder / serve.TREE / "code", objects)
        file = folder / "plan.json"
        _plan(variant, program, folder, settings).write(file)
        return file
    except OSError as error:
        raise StartFailed(f"the model's files cannot be written ({error.strerror})") from error
    except ClaryError as error:
        raise error if isinstance(error, StartFailed) else StartFailed(str(error)) from error


def _plan(variant: Variant, program: Script | ImageCommand, folder: Path, settings: Settings) -> Plan:
    is_script = isinstance(program, Script)
    name = program.environment if isinstance(program, Script) else ""
    named = settings.configuration.environments.get(name)
    return Plan(
        image=variant.image,
        layer=folder / "environment",
        environments=settings.environments_root,
        framework=program.framework if isinstance(program, Script) else "",
        version=program.version if isinstance(program, Script) else "",
        python_version=program.python if isinstance(program, Script) else "",
        hugging_face=is_script and repository(variant.image)[0].startswith("huggingface-"),
        command=_command(program),
        variables=variant.environment,
        interpreter=named.python if isinstance(named, InstalledEnvironment) else None,
        requirements=named.file if isinstance(named, RequirementsEnvironment) else None,
        complete=is_script and not name,
    )


def _command(program: Script | ImageCommand) -> tuple[str, ...]:
    """Empty where the toolkit serves the user's functions."""
    if isinstance(program, Script) and not program.entrypoint:
        return ()
    return program.argv


def _fetch(source: str, code: Path, objects: ObjectStore) -> None:
    if code.is_dir():
        return
    uri = S3Uri.parse(source)
    archive = code.with_name(f"{code.name}.tar.gz")
    try:
        objects.fetch(uri.bucket, uri.key, archive)
        with atomic_folder(code, durable=True) as temporary:
            unpack(archive, temporary, source)
    except ServiceError as error:
        hint = "deploy again from the estimator, which uploads it"
        raise CustomerError(f"{SUBMIT_DIRECTORY} is not there ({error.message})", where=source, hint=hint) from error
    finally:
        archive.unlink(missing_ok=True)
