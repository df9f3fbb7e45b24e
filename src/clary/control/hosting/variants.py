"""Production variants: what an endpoint configuration and its models ask for, and how calls are shared out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clary.control import local_mode
from clary.control.configuration import OURS, ImageRule
from clary.control.hosting.failure import StartFailed
from clary.control.images import Builtin, ImageCommand, Script, Unavailable, program_of, repository
from clary.control.store.records import Store
from clary.errors import CustomerError
from clary.toolkit.frameworks import FRAMEWORKS

__all__ = ["STARTUP_LIMIT", "Variant", "WeightedRoundRobin", "resolve", "served_program"]

STARTUP_LIMIT = 240.0  # seconds a container has to become healthy, unless the variant says otherwise


@dataclass(frozen=True, slots=True)
class Variant:
    """One production variant, with all that is needed to start it again once its model's record is gone.

    ``data`` is the S3 URI of an archive, or of a prefix where ``archive`` is False; empty where the image needs none.
    ``startup`` is in seconds.
    """

    name: str
    weight: float
    count: int
    image: str
    data: str
    archive: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    startup: float = STARTUP_LIMIT
    serverless: Mapping[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """As it is kept in a record."""
        return asdict(self)

    def summary(self, since: float) -> dict[str, Any]:
        """A ProductionVariantSummary; ``since`` is when the image was chosen, in epoch seconds."""
        image = {"SpecifiedImage": self.image, "ResolvedImage": self.image, "ResolutionTime": since}
        summary: dict[str, Any] = {
            "VariantName": self.name,
            "DeployedImages": [image],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": self.count,
            "DesiredInstanceCount": self.count,
        }
        if self.serverless:
            summary["CurrentServerlessConfig"] = dict(self.serverless)
        return summary


def resolve(store: Store, config: str, rules: Sequence[ImageRule] = ()) -> list[Variant]:
    """The variants of an endpoint configuration. ``rules`` are those of clary.toml.

    Raises StartFailed naming what is missing or cannot be served.
    """
    record = store.get("endpoint-config", config)
    if record is None:
        raise StartFailed(f'Could not find endpoint configuration "{config}"')
    return [_variant(store, described, rules) for described in record.body["ProductionVariants"]]


def _variant(store: Store, described: Mapping[str, Any], rules: Sequence[ImageRule]) -> Variant:
    name = described["VariantName"]
    container = _container(store, described.get("ModelName", ""), name)
    program = served_program(container.get("Image", ""), rules, variant=name)
    data, archive = _model_data(container)
    if not data and isinstance(program, Builtin):
        raise StartFailed(f"The model of the production variant {name} names no model data", hint="set ModelDataUrl")
    try:
        local_mode.check([described.get("InstanceType", "")], [data])  # a package's is seen nowhere else
    except CustomerError as error:
        raise StartFailed(error.what, hint=error.hint) from error
    return Variant(
        name=name,
        weight=float(described.get("InitialVariantWeight", 1.0)),
        count=int(described.get("InitialInstanceCount", 1)),
        image=container["Image"],
        data=data,
        archive=archive,
        environment=container.get("Environment", {}),
        startup=float(described.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_LIMIT)),
        serverless=described.get("ServerlessConfig"),
    )


def _container(store: Store, model: str, variant: str) -> Mapping[str, Any]:
    """The one container of a model, a model package's put in its place."""
    record = store.get("model", model)
    if record is None:
        raise StartFailed(f'Could not find model "{model}" of the production variant {variant}')
    containers = record.body.get("Containers") or [record.body.get("PrimaryContainer", {})]
    if len(containers) != 1:
        raise StartFailed(f'Model "{model}" is a pipeline of {len(containers)} containers', hint="deploy one of them")
    container: Mapping[str, Any] = containers[0]
    if container.get("Mode") == "MultiModel":
        raise StartFailed(f'Model "{model}" is a multi-model container', hint="deploy its models one by one")
    package = container.get("ModelPackageName")
    return {**_packaged(store, package), **container} if package else container


def _packaged(store: Store, name: str) -> dict[str, Any]:
    record = store.by_arn(name) or store.get("model-package", name)
    if record is None:
        raise StartFailed(f'Could not find model package "{name}"')
    packaged: dict[str, Any] = record.body["InferenceSpecification"]["Containers"][0]
    return packaged


def _model_data(container: Mapping[str, Any]) -> tuple[str, bool]:
    """The S3 URI of the model data, empty where the container has none, and whether it is an archive."""
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if source:
        return source["S3Uri"], source["CompressionType"] == "Gzip"
    return container.get("ModelDataUrl") or "", True


def served_program(
    image: str, rules: Sequence[ImageRule] = (), *, variant: str = ""
) -> Builtin | Script | ImageCommand:
    """What serves when a container names ``image``. Raises StartFailed where nothing here does."""
    whose = f" of the production variant {variant}" if variant else ""
    program = program_of(image, "inference", rules=rules)
    if isinstance(program, Script) and not program.environment and program.framework not in FRAMEWORKS:
        raise StartFailed(
            f"There is no environment for {program.framework} here (image {image}{whose})", hint=_line(image)
        )
    if isinstance(program, Unavailable):
        raise StartFailed(
            f'Nothing here serves the image "{image}"{whose}: {program.reason}',
            hint=f"{program.hint}; of your own: {_line(image)}",
        )
    return program


def _line(image: str) -> str:
    name = repository(image)[0] or "my-image"
    way = f'[[images]] pattern = "{name}:*" environment = "{OURS}"'
    return f"say in clary.toml what it stands for, and start the platform again: {way}"


class WeightedRoundRobin:
    """Whose turn it is, by weight: smooth weighted round robin, so that even few calls come in the right shares.

    Weights are 0 or more, 0: none at all, unless all are 0, which counts as all equal. Source: nginx,
    ngx_http_upstream_round_robin.c.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        total = sum(weights.values())
        self._weights = {name: weight / total if total else 1 / len(weights) for name, weight in weights.items()}
        self._credit = dict.fromkeys(weights, 0.0)

    def next(self) -> str:
        """The variant that takes the next call."""
        for name, weight in self._weights.items():
            # Each turn everyone earns their share and the richest pays for the whole: over a round everyone is chosen
            # as often as they weigh, spread out rather than in runs.
            self._credit[name] += weight
        chosen = max((name for name, weight in self._weights.items() if weight), key=self._credit.__getitem__)
        self._credit[chosen] -= 1
        return chosen
