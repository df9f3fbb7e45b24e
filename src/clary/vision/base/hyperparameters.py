"""Hyperparameters as a class: an algorithm lists each once, as an attribute with its type, kind, default and meaning.

    @dataclass(frozen=True, kw_only=True)
    class Mine(Hyperparameters):
        num_classes: int = required(Integer(2), "number of classes")
        learning_rate: float = setting(Float(), "step size", 0.1, tunable=TunableRange(1e-6, 0.5, logarithmic=True))
        resize: int | None = optional(Integer(1), "shorter side in pixels before the crop")

Values arrive as strings, as SageMaker sends them. Error texts are those of the original containers' validator
(seen in their logs), since programs and people match on them. Why neither pydantic nor msgspec reads them:
docs/decisions/0007-hyperparameters-classes.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from functools import cache
from typing import Any, Generic, TypeVar

from clary.errors import HyperparameterError
from clary.vision.base.decoded_size import DecodedSize
from clary.wording import similar_names

__all__ = [
    "Choice",
    "Flag",
    "Float",
    "Hyperparameter",
    "Hyperparameters",
    "Integer",
    "Kind",
    "Parsed",
    "Text",
    "TunableRange",
    "as_text",
    "described",
    "invalid",
    "optional",
    "parse",
    "plainly",
    "required",
    "setting",
]

T = TypeVar("T")
H = TypeVar("H", bound="Hyperparameters")

_KEY = "hyperparameter"  # in a field's metadata


class Kind(Generic[T]):
    """What a value may be. ``parse`` turns the string into a value or raises ValueError."""

    def parse(self, text: str) -> T:
        raise ValueError(text)

    def expectation(self) -> str:
        """The end of SageMaker's sentence: "expects one of the following: ..."."""
        raise ValueError

    def allowed(self) -> str:
        """The same for a table: "integer, at least 1"."""
        raise ValueError


@dataclass(frozen=True, slots=True)
class Integer(Kind[int]):
    """A whole number from ``low`` to ``high``, both included."""

    low: int = 1
    high: int | None = None

    def parse(self, text: str) -> int:
        # int() also takes 1_000, +1 and digits of other scripts, which the original refuses. 18 digits fit into
        # 64 bits.
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text):
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
        # The original prints its pattern beside whatever the bounds are: "... '^[1-9][0-9]*$'; or an integer between
        # 300 and 10000" (a job's log).
        pattern = "^[1-9][0-9]*$" if self.low > 0 else "^([1-9][0-9]*|0)$"
        return f"expects one of the following: a string which matches the pattern '{pattern}'; or {number}"

    def allowed(self) -> str:
        return f"integer, {self.low} to {self.high}" if self.high is not None else f"integer, at least {self.low}"


@dataclass(frozen=True, slots=True)
class Float(Kind[float]):
    """A finite number from ``low`` to ``high``, both included."""

    low: float = 0.0
    high: float = 1.0

    def parse(self, text: str) -> float:
        # As above; float() takes nan and inf, too, which compare as false with any bound.
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
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
class Choice(Kind[T]):
    """One of a few values, written as ``as_text`` writes them: words, numbers, or False and True as 0 and 1."""

    options: tuple[T, ...]

    def parse(self, text: str) -> T:
        for option, word in zip(self.options, self._words(), strict=True):
            if text == word:
                return option
        raise ValueError(text)

    def expectation(self) -> str:
        return "accepts one of the following: " + ", ".join(f"'{word}'" for word in self._words())

    def allowed(self) -> str:
        return ", ".join(f"`{word}`" for word in self._words())

    def _words(self) -> list[str]:
        return [as_text(option) for option in self.options]


@dataclass(frozen=True, slots=True)
class Flag(Kind[bool]):
    """True or False, in the spellings users send: True, true, 1, False, false, 0."""

    def parse(self, text: str) -> bool:
        # The SDK writes `True`, JSON `true`, forms 1: one meaning.
        word = text.lower()
        if word not in ("true", "false", "1", "0"):
            raise ValueError(text)
        return word in ("true", "1")

    def expectation(self) -> str:
        return "accepts one of the following: 'True', 'False', 'true', 'false', '1', '0'"

    def allowed(self) -> str:
        return "`True`, `False`"


@dataclass(frozen=True, slots=True)
class Parsed(Kind[T]):
    """What ``convert`` makes of a string that matches ``pattern`` whole."""

    pattern: str
    convert: Callable[[str], T]

    def parse(self, text: str) -> T:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(text)
        return self.convert(text)

    def expectation(self) -> str:
        return f"expects one of the following: a string which matches the pattern '{self.pattern}'"

    def allowed(self) -> str:
        return f"`{self.pattern}`"


@dataclass(frozen=True, slots=True)
class Text(Parsed[str]):
    """A string that matches ``pattern`` whole."""

    pattern: str = r"^.+$"
    convert: Callable[[str], str] = str


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
    kind: Kind[Any]
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
            raise HyperparameterError(invalid(self.name, text, self.kind.expectation())) from None


def required(kind: Kind[T], meaning: str) -> T:
    """An attribute that every request must give."""
    made: T = field(metadata={_KEY: Hyperparameter("", kind, meaning, required=True)})
    return made


def setting(
    kind: Kind[T], meaning: str, default: T, *, tunable: TunableRange | None = None, extension: bool = False
) -> T:
    """An attribute with a default."""
    described = Hyperparameter("", kind, meaning, default, tunable=tunable, extension=extension)
    made: T = field(default=default, metadata={_KEY: described})
    return made


def optional(kind: Kind[T], meaning: str, *, extension: bool = False) -> T | None:
    """An attribute that is None unless a request gives it."""
    made: T | None = field(default=None, metadata={_KEY: Hyperparameter("", kind, meaning, extension=extension)})
    return made


@dataclass(frozen=True)
class Hyperparameters(Mapping[str, Any]):
    """Checked values as typed attributes, and by name where all of them are written somewhere (manifests, logs).

    A class of them is a frozen, keyword-only dataclass whose attributes are made by ``required``, ``setting`` and
    ``optional``, in the order in which they are shown. ``given`` names those the user set.
    """

    _: KW_ONLY
    given: frozenset[str] = frozenset()

    def mistakes(self) -> Sequence[str]:
        """One sentence for each value that does not go together with another; asked once all are valid alone."""
        return ()

    def network_name(self) -> str:
        """The network these values ask for, as a run's configuration calls it."""
        return ""

    def decoded_sizes(self) -> Mapping[str, DecodedSize]:
        """At which size pictures of a split are decoded, where that is known before they are looked at; splits that are
        not used in training have none."""
        return {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    @classmethod
    def _names(cls) -> Sequence[str]:
        return [one.name for one in described(cls)]


@cache
def described(schema: type[Hyperparameters]) -> tuple[Hyperparameter, ...]:
    """What the class says of its attributes, in their order."""
    return tuple(replace(f.metadata[_KEY], name=f.name) for f in fields(schema) if _KEY in f.metadata)


def parse(schema: type[H], given: Mapping[str, str]) -> H:
    """Check strings and return typed values, defaults filled in. Raises one HyperparameterError for all mistakes.

    Names beginning with an underscore are SageMaker's own (``_tuning_objective_metric``) and are left out.
    """
    given = {name: text for name, text in given.items() if not name.startswith("_")}
    known = {one.name: one for one in described(schema)}
    mistakes = [_unknown(name, list(known)) for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name in known:
            try:
                values[name] = known[name].parse(text)
            except HyperparameterError as error:
                mistakes.append(error.what)
    missing = [one.name for one in known.values() if one.required and one.name not in given]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        sentence = f"No value(s) were specified for {names} which are required hyperparameter(s)"
        mistakes.append(f"{sentence} (caused by ValidationError)")
    if mistakes:
        raise HyperparameterError("; ".join(mistakes))
    checked = schema(**values, given=frozenset(given))
    # Last: a rule about two values says nothing sensible while one of them is not valid by itself.
    if mistakes := list(checked.mistakes()):
        raise HyperparameterError("; ".join(mistakes))
    return checked


def as_text(value: Any) -> str:
    """A parsed value as a request would send it; nothing when it is unset."""
    if value is None:
        return ""
    # Before the numbers: a bool is an int, and `True` is not what a request of 0 or 1 says.
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (list, tuple)):
        # Pairs, as those of `progressive_resizing`: 128:4,160:2.
        return ",".join(
            ":".join(map(as_text, one)) if isinstance(one, (list, tuple)) else as_text(one) for one in value
        )
    # 12 digits: 0.1 + 0.2 stays 0.3, and what a float32 can tell apart is kept.
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def invalid(name: str, text: str, why: str) -> str:
    """The validator's sentence for a value that is refused."""
    return f"The value '{text}' is not valid for the '{name}' hyperparameter which {why} (caused by ValidationError)"


def plainly(sentences: str) -> str:
    """What the validator says, in fewer words: for a person at a terminal, where programs read nothing of it."""
    text = sentences.replace(" (caused by ValidationError)", "")
    text = re.sub(r"The value '(.*?)' is not valid for the '(\w+)' hyperparameter which ", r"\2=\1: ", text)
    text = re.sub(r"(a string which matches the pattern '\S*'; or |expects one of the following: )", "expects ", text)
    text = text.replace("expects expects ", "expects ").replace(
        "a string which matches the pattern", "text of the form"
    )
    unexpected = r"Additional properties are not allowed \('(.*?)' was unexpected(, did you mean '(\w+)'\?)?\)"
    text = re.sub(unexpected, lambda found: f"there is no setting `{found[1]}`" + (found[2] or ""), text)
    return re.sub(r"No value\(s\) were specified for (.*?) which are required hyperparameter\(s\)", r"give \1", text)


def _unknown(name: str, known: list[str]) -> str:
    # Other libraries' short names are near to nothing by their letters: lr, wd.
    initials = [one for one in known if "".join(word[0] for word in one.split("_")) == name]
    close = similar_names(name, known) or initials
    hint = f", did you mean '{close[0]}'?" if close else ""
    return f"Additional properties are not allowed ('{name}' was unexpected{hint}) (caused by ValidationError)"
