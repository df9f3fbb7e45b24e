"""docs/coverage.md: what of SageMaker runs here, looked up in the code; the words are those of docs/uses.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from docs.uses import CLASSES, IMAGES, USES, Status, Use

from clary.control import families, resources
from clary.control.families import Family
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.variants import served_program
from clary.control.images import Program, Script, repository
from clary.control.jobs.kinds.training.programs import resolve
from clary.control.objects import unconfigured
from clary.control.objects.request import S3Request
from clary.control.objects.s3_app import handler_of
from clary.control.resources import without_effect
from clary.control.wire import alternatives
from clary.control.wire.errors import ServiceError
from clary.control.wire.operation import OPERATIONS
from clary.control.wire.routing import ANSWERED
from clary.control.wire.services import Operation, describe
from clary.errors import CustomerError
from clary.toolkit.frameworks import FRAMEWORKS

__all__ = ["is_answered", "page", "s3_is_answered"]

ROOT = Path(__file__).parents[1]
CLIENTS = {"v1": "SageMaker SDK v1", "v2": "SageMaker SDK v2", "v3": "SageMaker SDK v3", "cli": "AWS CLI"}
PACKAGES = ("sagemaker", "awscli", "boto3")
# Of directory buckets and of Object Lambda, which have addresses of their own.
NOT_OF_BUCKETS = frozenset({"ListDirectoryBuckets", "CreateSession", "WriteGetObjectResponse"})


def page() -> str:
    """The whole page, without the notice of generated ones."""
    resources.load()
    return "\n".join(
        [
            *("# Coverage\n", _intro(), "## What people do with it\n"),
            *(f"### {title}\n\n{_uses(rows)}" for title, rows in USES.items()),
            *("### Refused\n", _refused()),
            *("## Operations\n", _operations(), "## Images\n", _images()),
            "## Classes of the SDKs\n",
            *(f"### {title}\n\n{_uses(rows)}" for title, rows in CLASSES.items()),
            *("## Clients it is tested with\n", _clients()),
        ]
    )


def is_answered(service: str, operation: str) -> bool:
    """Whether somebody wrote a function for it. S3 has a table of its own, see ``s3_is_answered``."""
    return (service, operation) in OPERATIONS


def s3_is_answered(operation: Operation) -> bool:
    """Whether requests to the address of an S3 operation are answered."""
    if operation.name in NOT_OF_BUCKETS:
        return False
    path, _, query = operation.path.partition("?")
    bucket, key = ("b" if "{Bucket}" in path else ""), ("k" if "{Key+}" in path else "")
    given = dict.fromkeys([*filter(None, re.split(r"&|=[^&]*", query)), *_required(operation)], "1")
    try:
        handler_of(S3Request(operation.method, bucket, key, given, {}, None))  # type: ignore[arg-type]
    except ServiceError:
        return False
    return True


def _required(operation: Operation) -> list[str]:
    """Names in the query of the members that every request of an operation has."""
    shape = describe("s3").shapes.get(operation.input, {})
    required = (shape["members"][name] for name in shape.get("required", ()))
    return [member["locationName"] for member in required if member.get("location") == "querystring"]


def _intro() -> str:
    name = "CreatePipeline"
    instead = alternatives.of_operation(describe("sagemaker"), name)
    return (
        "What of SageMaker runs on this machine. The page is written by the code that answers, and a test asks a\n"
        "server for every operation.\n\n"
        "| | |\n|---|---|\n"
        "| runs | as on SageMaker, with a real result |\n"
        "| in part | as the line says |\n"
        "| no effect | accepted and changes nothing: [every such field](reference/without-effect.md) |\n"
        "| refused | an error that names it and what to do instead |\n\n"
        "What a program gets that asks for something that is refused:\n\n"
        f"```text\nUnknownOperationException: Clary does not answer {name} of sagemaker; {instead}\n```\n"
    )


def _uses(uses: Iterable[Use]) -> str:
    rows = [f"| {_named(use)} | {status} | {line} |" for use in uses for status, line in [_state(use)]]
    return "\n".join(["| | | |", "|---|---|---|", *rows]) + "\n"


def _named(use: Use) -> str:
    """Classes are words of code, uses are in plain words."""
    is_classes = any(use in rows for rows in CLASSES.values())
    return " ".join(f"`{name}`" for name in use.what.split()) if is_classes else use.what


def _state(use: Use) -> tuple[Status, str]:
    for need in use.needs:
        there, family, hint = _look_up(need)
        if not there:
            return "refused", use.instead or (family.instead if family else hint)
    if use.family:
        return use.status, next(one.instead for one in families.FAMILIES if one.name == use.family)
    return use.status, use.line


def _look_up(need: str) -> tuple[bool, Family | None, str]:
    """Whether a need is there; if not, the family it is of, and else what to do instead."""
    kind, _, name = need.partition(":")
    match kind:
        case "service":
            return name in ANSWERED, families.of_service(name), ""
        case "field":
            return not without_effect.FIELDS["sagemaker"].get(name, "").startswith("refused"), None, ""
        case "without":
            # Nothing is done about it: a row that says so has become wrong.
            if name not in without_effect.FIELDS["sagemaker"]:
                raise LookupError(f"{name} has an effect by now: change its row in docs/uses.py")
            return True, None, ""
        case "training":
            trains, hint = _training(name)
            return bool(trains), families.of_image(repository(name)[0]), hint
        case "inference":
            hint = "say in `clary.toml` what serves it, or run the model in a program of its own"
            return bool(_serving(name)), families.of_image(repository(name)[0]), hint
    return is_answered("sagemaker", kind), families.of_operation(kind), ""


def _training(image: str) -> tuple[str, str]:
    """What an image trains, or else what to do."""
    try:
        return _words(resolve({"TrainingImage": image}), image), ""
    except CustomerError as error:
        return "", error.hint


def _serving(image: str) -> str:
    """What an image serves; empty where nothing serves it."""
    try:
        program = served_program(image)
    except StartFailed:
        return ""
    return _words(program, image) if not isinstance(program, Script) or _serves(program.framework) else ""


def _words(program: Program, image: str) -> str:
    if isinstance(program, Script):
        return "Hugging Face" if image.startswith("huggingface") else program.framework
    return "built-in algorithm"


def _serves(framework: str) -> bool:
    """Whether there is a server for the framework's models."""
    if framework not in FRAMEWORKS or not find_spec("clary.toolkit.serving"):
        return False
    # Those without one of their own have the one for functions of an inference.py.
    named = [framework.replace("-", "_"), *(["functions"] if framework != "tensorflow" else [])]
    return any(find_spec(f"clary.toolkit.serving.{name}") for name in named)


def _refused() -> str:
    rows = [f"| {one.name} | {one.instead} |" for one in sorted(families.FAMILIES, key=lambda one: one.name.lower())]
    return "\n".join(["| | instead |", "|---|---|", *rows]) + "\n"


def _operations() -> str:
    by_service: dict[str, list[str]] = {}
    for service, name in sorted(OPERATIONS):
        by_service.setdefault(service, []).append(name)
    s3 = sorted(name for name, operation in describe("s3").operations.items() if s3_is_answered(operation))
    by_service["s3"] = s3
    counts = [
        f"| {service} | {len(names)} | {len(describe(service).operations)} |"
        for service, names in sorted(by_service.items())
    ]
    parts = ["\n".join(["| service | answered | of |", "|---|---|---|", *counts]) + "\n"]
    parts += [
        _folded(f"{service}: the {len(names)} that are answered", _codes(names) + "\n")
        for service, names in sorted(by_service.items())
    ]
    refused = _refused_operations()
    total = sum(map(len, refused.values()))
    lines = [
        f"- {name} ({len(names)}): {_codes(names)}\n"
        for name, names in sorted(refused.items(), key=lambda pair: pair[0].lower())
    ]
    parts.append(_folded(f"sagemaker: the {total} that are refused", "".join(lines)))
    absent = sorted(set(describe("s3").operations) - {*s3})
    parts.append(_folded(f"s3: the {len(absent)} that are refused", _codes(absent) + "\n"))
    asked = ", ".join(
        f"`{name}`" for name in sorted({*unconfigured.MISSING, *unconfigured.EMPTY, *unconfigured.LISTED})
    )
    parts.append(
        f"A bucket's {asked} are answered as S3 answers where nobody set them up; of canned ACLs\n`private` is taken.\n"
    )
    return "\n".join(parts)


def _refused_operations() -> Mapping[str, list[str]]:
    """Names of sagemaker's operations that nobody answers, by their family."""
    found: dict[str, list[str]] = {}
    for name in sorted(describe("sagemaker").operations):
        if not is_answered("sagemaker", name):
            family = families.of_operation(name)
            found.setdefault(family.name if family else "others", []).append(name)
    return found


def _images() -> str:
    """Of one image a repository; those of which the same is to be said stand in one row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for image in IMAGES:
        trains, serves = _training(image)[0], _serving(image)
        rows.setdefault((trains or "refused", serves or "refused"), []).append(repository(image)[0])
    lines = [f"| {_codes(names)} | {trains} | {serves} |" for (trains, serves), names in sorted(rows.items())]
    table = "\n".join(["| repository | trains | serves |", "|---|---|---|", *lines]) + "\n"
    intro = (
        "Account and region of an image's URI do not matter: its repository says what it stands for. Images of your\n"
        "own stand for what [`clary.toml`](guides/scripts.md) says.\n"
    )
    return f"{intro}\n{_folded(f'what the {len(IMAGES)} images that the SDK knows stand for', table)}"


def _clients() -> str:
    rows = []
    for name, client in CLIENTS.items():
        versions = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / f"tests/sdk/{name}.txt").read_text(), re.MULTILINE))
        told = ", ".join(f"{package} {versions[package]}" for package in PACKAGES if package in versions)
        rows.append(f"| {client} | {told} |")
    pinned = dict(re.findall(r"^(boto3)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    rows.append(f"| boto3 by itself | boto3 {pinned['boto3']} |")
    return "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _folded(title: str, text: str) -> str:
    """Opened by a click on GitHub; the empty line makes it read Markdown inside."""
    return f"<details><summary>{title}</summary>\n\n{text}\n</details>\n"
