"""Container image URIs: what a request's image stands for on this machine.

There is no container engine here: an image is a name for a program. ``program_of`` is the one place that decides which,
for jobs and for endpoints alike; whether what it says can be run yet, and in which words it is refused, is up to those
who run it (``jobs.kinds.training.programs``, ``hosting.variants``).

Account and region vary, so a program is known by repository and tag alone; but what clary.toml says of an image
(``control.configuration``) comes first.
Source: sagemaker SDK 2.257, image_uri_config/*.json; SageMaker API, AlgorithmSpecification and ContainerDefinition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Literal

from clary.control import families
from clary.control.configuration import ImageRule
from clary.vision.algorithms.catalog import SPECS
from clary.vision.base.spec import AnySpec
from clary.wording import similar_names

__all__ = [
    "Builtin",
    "ImageCommand",
    "Kind",
    "Program",
    "Script",
    "Unavailable",
    "built_in_images",
    "is_built_in",
    "program_of",
    "repository",
]

Kind = Literal["training", "inference", "processing"]

# Of the built-in algorithms' images. AWS's own notebooks use both, and SDK v1's get_image_uri gave `latest` by default.
_TAGS = frozenset({"1", "latest"})

# Since 2019 a framework has an image for training and one for inference, named <framework>-<kind>.
_FRAMEWORK = re.compile(
    r"(?:huggingface-)?(?P<framework>pytorch|tensorflow|mxnet|chainer|autogluon)(?:-trcomp|-neuronx?|-smp)?"
    r"-(?P<kind>training|inference)(?:-neuronx?|-graviton|-eia)?"
)
# Before, and for some to this day, one image did both ...
_BOTH = re.compile(
    r"sagemaker-(?P<framework>pytorch|tensorflow|mxnet|chainer|scikit-learn|xgboost|sparkml-serving|base-python"
    r"|distribution-cpu|distribution-gpu)|(?P<other>djl-inference|smdistributed-modelparallel)"
)
# ... but for TensorFlow's scripts (the plain image took only TensorFlow's estimators) and for servers without Python.
_OLD = {
    "sagemaker-tensorflow-scriptmode": ("tensorflow", "training"),
    "sagemaker-tensorflow-serving": ("tensorflow", "inference"),
    "sagemaker-mxnet-serving": ("mxnet", "inference"),
}
# What an image's own entry point is called with.
_DEFAULT_ARGUMENTS: dict[Kind, tuple[str, ...]] = {"training": ("train",), "inference": ("serve",), "processing": ()}
_VERSION, _PYTHON = re.compile(r"\d[\w.]*"), re.compile(r"py\d+")


@dataclass(frozen=True, slots=True)
class Builtin:
    """An algorithm of the catalog: its ``spec`` trains, and its artifacts serve."""

    spec: AnySpec

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the user's own in a framework's environment.

    ``version`` (``2.1``, ``1.2-1``), ``python`` (``py310``) and ``device`` (``cpu``, ``gpu``) are what the tag tells,
    each empty where it does not: the user's own words, not expanded. ``entrypoint`` and ``arguments`` are the
    request's; SDK v3 always sends both, v2 neither (then the training toolkit of the image starts the script).
    ``environment`` is the one of clary.toml that the image is mapped to; ``framework`` is empty for an image of the
    user's own that is.
    """

    framework: str
    kind: Kind
    version: str
    python: str
    device: str
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: str = ""

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that takes the toolkit's place; empty where the toolkit starts the script."""
        # Of an image that starts as SageMaker's do: `train` is its word for the toolkit.
        return () if not self.entrypoint and self.arguments == ("train",) else self.entrypoint + self.arguments


@dataclass(frozen=True, slots=True)
class ImageCommand:
    """A program of the user's own: an image of no framework, with an entry point or arguments for the image's.

    ``mapped``: clary.toml says what the image's entry point is here.
    """

    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    mapped: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        return self.entrypoint + self.arguments


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Not to be had here: the reason, and the way to something that is."""

    reason: str
    hint: str


Program = Builtin | Script | ImageCommand | Unavailable


def program_of(
    image: str,
    kind: Kind,
    *,
    entrypoint: Sequence[str] = (),
    arguments: Sequence[str] = (),
    rules: Sequence[ImageRule] = (),
) -> Program:
    """What runs when a request asks for ``image`` to train, to serve or to process data (``kind``).

    ``entrypoint`` and ``arguments`` are ContainerEntrypoint and ContainerArguments of a job; a model has none.
    ``rules`` are those of clary.toml, of which the first that fits counts.
    """
    name, tag = repository(image)
    if rule := next((rule for rule in rules if _fits(rule.pattern, image, name, tag)), None):
        return _mapped(rule, image, kind, tuple(entrypoint), tuple(arguments))
    if framework := _framework(name, kind):
        # Before the entry point is looked at: to a framework's image SDK v3 sends one along with every script.
        return Script(framework, kind, *_parse_tag(tag), tuple(entrypoint), tuple(arguments))
    if family := families.of_image(name):
        return Unavailable(f"the image {image} is of {family.name}, which Clary has not", family.instead)
    if entrypoint or arguments:
        return ImageCommand(tuple(entrypoint), tuple(arguments))
    spec = _built_in(name)
    if spec is None:
        # With one more word it is another image of AWS's (image-classification-neo), not this one mistyped.
        close = similar_names(name, [spec.name for spec in SPECS if not name.startswith(f"{spec.name}-")])
        meant = f"is {close[0]}:1 meant? " if close else ""
        return Unavailable(f"the image {image} is not known here", f"{meant}use {built_in_images()}")
    if tag not in _TAGS:
        return Unavailable(f"the image {image} has the tag `{tag}`, which does not exist", f"use {name}:1")
    return Builtin(spec)


def _fits(pattern: str, image: str, name: str, tag: str) -> bool:
    registry, slash, _ = image.rpartition("/")
    # Programs name an image with its tag nearly always, and who maps a repository leaves it out.
    return any(fnmatchcase(text, pattern) for text in (image, f"{registry}{slash}{name}", f"{name}:{tag}", name))


def _mapped(
    rule: ImageRule, image: str, kind: Kind, entrypoint: tuple[str, ...], arguments: tuple[str, ...]
) -> Script | ImageCommand:
    """As SageMaker starts an image: its ENTRYPOINT (the rule's command) or the request's, which gets no `train`."""
    command = entrypoint or rule.command
    words = arguments or (() if entrypoint else _DEFAULT_ARGUMENTS[kind])
    if command and not rule.environment:
        return ImageCommand(command, words, mapped=True)
    name, tag = repository(image)
    return Script(_framework(name, kind), kind, *_parse_tag(tag), command, words, rule.environment)


def built_in_images() -> str:
    """The images that run here, for a hint."""
    return "the image of a built-in algorithm: " + ", ".join(f"{spec.name}:1" for spec in SPECS)


def is_built_in(image: str) -> bool:
    """Whether the image is that of a built-in algorithm, whatever its tag."""
    return _built_in(repository(image)[0]) is not None


def _built_in(name: str) -> AnySpec | None:
    return next((spec for spec in SPECS if name == spec.name or name in spec.aliases), None)


def repository(uri: str) -> tuple[str, str]:
    """Repository (last part) and tag of an image URI; the tag is ``latest`` where there is none.

    ``811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1`` gives ``("image-classification", "1")``.
    A digest (``@sha256:...``) is no tag.
    """
    # The last slash first: a registry may have a port, whose colon is none of a tag's (localhost:5000/net).
    name, _, tag = uri.rpartition("/")[2].partition("@")[0].partition(":")
    return name, tag or "latest"


def _framework(name: str, kind: Kind) -> str:
    """The framework whose image for ``kind`` the repository is; empty where it is none's."""
    if name in _OLD:
        framework, only = _OLD[name]
        return framework if kind in (only, "processing") else ""
    if both := _BOTH.fullmatch(name):
        return both["framework"] or both["other"]
    found = _FRAMEWORK.fullmatch(name)
    # A processing job takes either: it runs no program of the image but its own.
    return found["framework"] if found and kind in (found["kind"], "processing") else ""


def _parse_tag(tag: str) -> tuple[str, str, str]:
    """Version, Python and device of a tag such as ``2.0-transformers4.28-gpu-py310-cu118-ubuntu20.04``."""
    parts = tag.split("-")
    version = "-".join(takewhile(_VERSION.fullmatch, parts))  # of scikit-learn and XGBoost it has two parts: 1.2-1
    python = next(filter(_PYTHON.fullmatch, parts), "")
    return version, python, next((part for part in parts if part in ("cpu", "gpu")), "")
