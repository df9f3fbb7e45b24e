"""Services as botocore describes them: which operations there are, what goes in and what comes out.

Only the description of the service asked for is read (sagemaker's 2.5 MB take some 25 ms). Documentation is dropped at
once, and shapes stay the plain dictionaries they are: what is needed of them is compiled when it is first used.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import botocore

from clary.control.local_mode import FILES, INSTANCE_TYPES

__all__ = [
    "ALSO_MEMBER",
    "TARGETS",
    "UNSIGNED",
    "VERSIONS",
    "Description",
    "Operation",
    "Shape",
    "describe",
    "of_signing_name",
]

Shape = dict[str, Any]

DATA = Path(botocore.__file__).parent / "data"

# Several services may sign as one. A signing name that is not here is the name of the description itself.
# botocore's metadata say it service by service; to ask them all would mean reading 400 files.
SIGNING_NAMES = {
    "sagemaker": ("sagemaker", "sagemaker-runtime", "sagemaker-metrics", "sagemaker-featurestore-runtime"),
    "monitoring": ("cloudwatch",),
}
# How an unsigned call tells its service: the prefix of its target, the version of its API, or its path.
TARGETS = {
    "SageMaker": "sagemaker",
    "Logs_20140328": "logs",
    "GraniteServiceVersion20100801": "cloudwatch",
    "AnyScaleFrontendService": "application-autoscaling",
}
VERSIONS = {"2011-06-15": "sts", "2010-05-08": "iam", "2010-08-01": "cloudwatch"}
# The rest services: without a signature only their paths tell them from a bucket and its keys.
UNSIGNED = ("sagemaker-runtime", "sagemaker-metrics")

# What is right here beyond the description: a pattern by the name of a shape, kept as a member of the shape. Messages
# go on to show the description's own.
ALSO_MEMBER = "also"
ALSO = {
    "sagemaker": {
        **dict.fromkeys(
            ("TrainingInstanceType", "ProductionVariantInstanceType", "ProcessingInstanceType"),
            "|".join(sorted(INSTANCE_TYPES)),
        ),
        **dict.fromkeys(("S3Uri", "S3ModelUri", "Url"), re.escape(FILES) + ".+"),
    }
}


@dataclass(frozen=True)
class Operation:
    """One operation. ``input`` and ``output`` are names of shapes, empty where there is none."""

    service: str
    name: str
    method: str
    path: str  # a template, /endpoints/{EndpointName}/invocations; "/" but for REST services
    status: int
    input: str
    output: str
    wrapper: str  # the element around the output in the query protocol
    errors: tuple[str, ...]

    @cached_property
    def _path_pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)(\+?)\}", self.path.partition("?")[0].rstrip("/"))
        text = re.escape(parts[0])
        for name, greedy, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            text += f"(?P<{name}>{'.+' if greedy else '[^/]+'}){re.escape(literal)}"
        return re.compile(text + "/?")

    def labels(self, method: str, path: str) -> dict[str, str] | None:
        """What stands in the path for each label, percent-decoded; None when the request is not for this operation."""
        if method != self.method:
            return None
        found = self._path_pattern.fullmatch(path)
        return {name: unquote(text) for name, text in found.groupdict().items()} if found else None


@dataclass(frozen=True)
class Description:
    """A service: ``protocols`` as botocore names them, operations by name, shapes by name."""

    service: str
    protocols: tuple[str, ...]
    json_version: str
    namespace: str  # of XML answers
    query_compatible: bool  # errors of JSON answers carry their old query code in a header, too
    operations: dict[str, Operation]
    shapes: dict[str, Shape]

    @cached_property
    def _errors(self) -> dict[str, str]:
        """Names of error shapes by their name and by their code."""
        names = {name: shape for name, shape in self.shapes.items() if shape.get("exception")}
        # The query protocol has codes of its own (NoSuchEntity) for shapes of another name (NoSuchEntityException).
        codes = {shape["error"]["code"]: name for name, shape in names.items() if shape.get("error", {}).get("code")}
        return codes | {name: name for name in names}

    def error(self, code: str) -> tuple[str, Shape] | None:
        """Name and shape of a modelled error, found by its name or its code."""
        name = self._errors.get(code)
        return (name, self.shapes[name]) if name else None

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The REST operation of a request, with the labels of its path."""
        for operation in self.operations.values():
            labels = operation.labels(method, path)
            if labels is not None:
                return operation, labels
        return None


def of_signing_name(name: str) -> tuple[str, ...]:
    """The services that sign as ``name``; none when botocore knows none."""
    return SIGNING_NAMES.get(name) or ((name,) if re.fullmatch(r"[a-z0-9-]+", name) and (DATA / name).is_dir() else ())


@cache
def describe(service: str) -> Description:
    """The description of a service, by botocore's name for it ("sagemaker", "logs", "cloudwatch" ...)."""
    raw = _read(service)
    metadata = raw["metadata"]
    for name, pattern in ALSO.get(service, {}).items():
        raw["shapes"].get(name, {})[ALSO_MEMBER] = pattern
    return Description(
        service=service,
        protocols=tuple(metadata.get("protocols") or [metadata["protocol"]]),
        json_version=metadata.get("jsonVersion", "1.0"),
        namespace=metadata.get("xmlNamespace", ""),
        query_compatible="awsQueryCompatible" in metadata,
        operations={name: _operation(service, operation) for name, operation in raw["operations"].items()},
        shapes=raw["shapes"],
    )


def _operation(service: str, raw: Shape) -> Operation:
    http, output = raw.get("http", {}), raw.get("output", {})
    return Operation(
        service=service,
        name=raw["name"],
        method=http.get("method", "POST"),
        path=http.get("requestUri", "/"),
        status=http.get("responseCode", 200),
        input=raw.get("input", {}).get("shape", ""),
        output=output.get("shape", ""),
        wrapper=output.get("resultWrapper", f"{raw['name']}Result"),
        errors=tuple(error["shape"] for error in raw.get("errors", ())),
    )


def _read(service: str) -> Shape:
    # Folders are API versions, dates that sort as text; botocore keeps old ones beside new ones.
    newest = max(folder for folder in (DATA / service).iterdir() if folder.is_dir())
    packed = newest / "service-2.json.gz"
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else (newest / "service-2.json").read_bytes()
    found: Shape = json.loads(raw, object_hook=_without_documentation)
    return found


def _without_documentation(node: Shape) -> Shape:
    # a member may be called "documentation", too: then its value is an object
    if isinstance(node.get("documentation"), str):
        del node["documentation"]
    return node
