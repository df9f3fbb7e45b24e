"""An algorithm described by data: hyperparameters, channels, metrics. Read by the CLI, the API, the tuner, the docs.

Values arrive as strings, as SageMaker sends them. Error texts are those of the original containers' validator
(seen in their logs), since programs and people match on them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clary.errors import HyperparameterError

if TYPE_CHECKING:
    from clary.vision.base.types import Task  # which brings numpy, and listing algorithms needs none

__all__ = [
    "ChannelSpec",
    "Choice",
    "Flag",
    "Float",
    "Hyperparameter",
    "Hyperparameters",
    "Integer",
    "Kind",
    "Metric",
    "Spec",
    "Text",
    "TunableRange",
    "as_text",
]


class Kind:
    """What a value may be. ``parse`` turns the string into a value or raises ValueError."""

    def parse(self, text: str) -> Any:
        raise ValueError(text)

    def expectation(self) -> str:
        """The end of SageMaker's sentence: "expects one of the following: ..."."""
        raise ValueError

    def allowed(self) -> str:
        """The same for a table: "integer, at least 1"."""
        raise ValueError


@dataclass(frozen=True, slots=True)
class Integer(Kind):
    """A whole number from ``low`` to ``high``, both included."""

    low: int = 1
    high: int | None = None

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text):  # int() also takes 1_000 and digits of other scripts
            raise ValueError(text)
        value = int(text)
        if value < self.low or (self.high is not None and value > self.high):
            raise ValueError(text)
        return value

    def expectation(self) -> str:
        if self.high is not None:
            number = f"an integer between {self.low} and {self.high}"
        else:
            number = f"an integer greater than or equal to {self.low}"
        pattern = "^[1-9][0-9]*$" if self.low > 0 else "^([1-9][0-9]*|0)$"
        return f"expects one of the following: a string which matches the pattern '{pattern}'; or {number}"

    def allowed(self) -> str:
        return f"integer, {self.low} to {self.high}" if self.high is not None else f"integer, at least {self.low}"


@dataclass(frozen=True, slots=True)
class Float(Kind):
    """A finite number from ``low`` to ``high``, both included."""

    low: float = 0.0
    high: float = 1.0

    def parse(self, text: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):  # as above; nan, inf
            raise ValueError(text)
        value = float(text)
        if not self.low <= value <= self.high:
            raise ValueError(text)
        return value

    def expectation(self) -> str:
        return f"expects one of the following: a number between {self.low:g} and {self.high:g}"

    def allowed(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of a few words or numbers. ``convert`` makes the value of the word."""

    options: tuple[str, ...]
    convert: Callable[[str], Any] = str

    def parse(self, text: str) -> Any:
        if text not in self.options:
            raise ValueError(text)
        return self.convert(text)

    def expectation(self) -> str:
        return "accepts one of the following: " + ", ".join(f"'{option}'" for option in self.options)

    def allowed(self) -> str:
        return ", ".join(f"`{option}`" for option in self.options)


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """True or False, in the spellings users send: True, true, 1, False, false, 0."""

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word not in ("true", "false", "1", "0"):
            raise ValueError(text)
        return word in ("true", "1")

    def expectation(self) -> str:
        return "accepts one of the following: 'True', 'False', 'true', 'false', '1', '0'"

    def allowed(self) -> str:
        return "`True`, `False`"


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A string that matches ``pattern`` whole."""

    pattern: str = r"^.+$"
    convert: Callable[[str], Any] = str

    def parse(self, text: str) -> Any:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(text)
        return self.convert(text)

    def expectation(self) -> str:
        return f"expects one of the following: a string which matches the pattern '{self.pattern}'"

    def allowed(self) -> str:
        return f"`{self.pattern}`"


@dataclass(frozen=True, slots=True)
class TunableRange:
    """What SageMaker's guide recommends to tune over: bounds, or the words to choose from."""

    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One setting. ``default`` is the parsed value; ``extension`` marks what SageMaker does not know."""

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    required: bool = False
    tunable: TunableRange | None = None
    extension: bool = False

    def parse(self, text: str) -> Any:
        """The value of ``text``. Raises HyperparameterError in SageMaker's wording."""
        try:
            return self.kind.parse(text.strip())
        except ValueError:
            sentence = f"The value '{text}' is not valid for the '{self.name}' hyperparameter which"
            raise HyperparameterError(f"{sentence} {self.kind.expectation()} (caused by ValidationError)") from None


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """An input the algorithm takes: its content types and whether it must be there."""

    name: str
    content_types: tuple[str, ...]
    required: bool = False
    modes: tuple[str, ...] = ("File",)
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number found in the log by ``pattern``; its first group is the value."""

    name: str
    pattern: str
    objective: bool = False


class Hyperparameters(Mapping[str, Any]):
    """Checked values by name, also as attributes: ``hp.learning_rate``. ``given`` names those the user set."""

    def __init__(self, values: Mapping[str, Any], given: Sequence[str] = ()) -> None:
        self._values = dict(values)
        self.given = frozenset(given)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"no hyperparameter `{name}`") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Hyperparameters({self._values!r})"


Rule = Callable[[Hyperparameters], Sequence[str]]


@dataclass(frozen=True)
class Spec:
    """An algorithm: its names, what it takes and what it prints.

    ``aliases`` are names of container images it answers to. ``local_defaults`` are strings laid under the user's
    values when the CLI or library starts a run: what works on a small folder of pictures, where ``default`` is
    what SageMaker does. ``rules`` check values against each other and return one sentence a mistake.
    """

    name: str
    task: Task
    hyperparameters: tuple[Hyperparameter, ...]
    channels: tuple[ChannelSpec, ...]
    metrics: tuple[Metric, ...]
    aliases: tuple[str, ...] = ()
    local_defaults: Mapping[str, str] | None = None
    rules: tuple[Rule, ...] = ()

    def __getitem__(self, name: str) -> Hyperparameter:
        """The hyperparameter called ``name``. Raises KeyError."""
        return {h.name: h for h in self.hyperparameters}[name]

    def parse(self, given: Mapping[str, str]) -> Hyperparameters:
        """Check strings and return typed values, defaults filled in. Raises one HyperparameterError for all mistakes.

        Names beginning with an underscore are SageMaker's own (``_tuning_objective_metric``) and are left out.
        """
        given = {name: text for name, text in given.items() if not name.startswith("_")}
        known = {h.name: h for h in self.hyperparameters}
        mistakes = [_unknown(name, list(known)) for name in given if name not in known]
        values: dict[str, Any] = {h.name: h.default for h in self.hyperparameters}
        for name, text in given.items():
            if name in known:
                try:
                    values[name] = known[name].parse(text)
                except HyperparameterError as error:
                    mistakes.append(error.what)
        missing = [h.name for h in self.hyperparameters if h.required and h.name not in given]
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            sentence = f"No value(s) were specified for {names} which are required hyperparameter(s)"
            mistakes.append(f"{sentence} (caused by ValidationError)")
        checked = Hyperparameters(values, given=list(given))
        if not mistakes:
            mistakes = [sentence for rule in self.rules for sentence in rule(checked)]
        if mistakes:
            raise HyperparameterError("; ".join(mistakes))
        return checked


def as_text(value: Any) -> str:
    """A parsed value as a request would send it; nothing when it is unset."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return ",".join(as_text(one) for one in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean '{close[0]}'?" if close else ""
    return f"Additional properties are not allowed ('{name}' was unexpected{hint}) (caused by ValidationError)"
