from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import HyperparameterError
from clary.vision.base.hyperparameters import (
    Choice,
    Flag,
    Float,
    Hyperparameters,
    Integer,
    Kind,
    Parsed,
    Text,
    as_text,
    described,
    invalid,
    optional,
    parse,
    plainly,
    required,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class MadeUp(Hyperparameters):
    steps: int = required(Integer(1), "how many")
    size: int = setting(Integer(300, 10_000), "how large", 300)
    rate: float = setting(Float(0, 1), "how fast", 0.1)
    kind: str = setting(Choice(("a", "b", "c")), "which", "a")
    fast: bool = setting(Flag(), "whether", False)
    shape: tuple[int, ...] = setting(
        Parsed(r"^[0-9]+(,[0-9]+)*$", lambda t: tuple(map(int, t.split(",")))), "what", (1, 2)
    )
    warm: int = setting(Integer(0), "first", 0)

    def mistakes(self) -> Sequence[str]:
        return ["`warm` is above `steps`"] if self.warm > self.steps else []


def complaint(given: dict[str, str]) -> str:
    with pytest.raises(HyperparameterError) as caught:
        parse(MadeUp, given)
    return str(caught.value)


class TestValues:
    def test_strings_become_values_and_the_rest_defaults(self) -> None:
        hp = parse(MadeUp, {"steps": " 12 ", "rate": "1e-3", "kind": "b", "fast": "True", "shape": "3,224,224"})
        assert dict(hp) == {
            "steps": 12, "size": 300, "rate": 0.001, "kind": "b", "fast": True, "shape": (3, 224, 224), "warm": 0,
        }  # fmt: skip
        assert hp.given == {"steps", "rate", "kind", "fast", "shape"}
        assert (hp.steps, hp["steps"], len(hp)) == (12, 12, 7)

    def test_names_of_sagemaker_are_left_out(self) -> None:
        assert "_tuning_objective_metric" not in parse(MadeUp, {"steps": "1", "_tuning_objective_metric": "x"})

    def test_an_unknown_attribute(self) -> None:
        hp: Any = parse(MadeUp, {"steps": "1"})  # mypy names it as well
        with pytest.raises(AttributeError, match="no attribute 'stepps'"):
            _ = hp.stepps
        with pytest.raises(KeyError):
            _ = hp["stepps"]
        with pytest.raises(KeyError):
            _ = hp["given"]  # no hyperparameter

    def test_they_stay_as_they_are(self) -> None:
        with pytest.raises(FrozenInstanceError):
            parse(MadeUp, {"steps": "1"}).steps = 2  # type: ignore[misc]

    def test_they_can_be_copied_and_sent(self) -> None:
        hp = parse(MadeUp, {"steps": "1"})
        for again in (copy.deepcopy(hp), pickle.loads(pickle.dumps(hp))):
            assert dict(again) == dict(hp)
            assert again == hp

    def test_what_is_not_given_may_be_nothing(self) -> None:
        @dataclass(frozen=True, kw_only=True)
        class Some(Hyperparameters):
            size: int | None = optional(Integer(1), "how large")

        assert parse(Some, {}).size is None
        assert parse(Some, {"size": "3"}).size == 3
        (size,) = described(Some)
        assert (size.name, size.required, size.default) == ("size", False, None)

    def test_choices_are_written_as_requests_write_them(self) -> None:
        assert Choice((False, True)).parse("1") is True
        assert Choice((18, 50)).parse("50") == 50
        assert [as_text(value) for value in (True, 0.1, (3, 5), None)] == ["1", "0.1", "3,5", ""]

    @pytest.mark.parametrize("text", ["True", "true", "1", "TRUE"])
    def test_flags(self, text: str) -> None:
        assert Flag().parse(text) is True
        assert Flag().parse({"1": "0"}.get(text, "False")) is False


class TestWording:
    """Texts seen in the logs of the original containers."""

    def test_out_of_range(self) -> None:
        assert complaint({"steps": "1", "size": "20"}) == (
            "The value '20' is not valid for the 'size' hyperparameter which expects one of the following: a string "
            "which matches the pattern '^[1-9][0-9]*$'; or an integer between 300 and 10000 (caused by ValidationError)"
        )

    def test_not_one_of_the_words(self) -> None:
        assert complaint({"steps": "1", "kind": "z"}) == (
            "The value 'z' is not valid for the 'kind' hyperparameter which accepts one of the following: "
            "'a', 'b', 'c' (caused by ValidationError)"
        )

    def test_required(self) -> None:
        assert complaint({}) == (
            "No value(s) were specified for 'steps' which are required hyperparameter(s) (caused by ValidationError)"
        )

    def test_unknown(self) -> None:
        assert complaint({"steps": "1", "rat": "1"}) == (
            "Additional properties are not allowed ('rat' was unexpected, did you mean 'rate'?) "
            "(caused by ValidationError)"
        )
        assert "('s' was unexpected, did you mean" in complaint({"steps": "1", "s": "1"})  # by its initials, as lr
        assert "('zzzz' was unexpected)" in complaint({"steps": "1", "zzzz": "1"})

    def test_all_mistakes_at_once(self) -> None:
        text = complaint({"size": "x", "rate": "2", "kind": "", "nonsense": "1"})
        assert [word for word in ("'size'", "'rate'", "'kind'", "'nonsense'", "'steps'") if word in text] == [
            "'size'", "'rate'", "'kind'", "'nonsense'", "'steps'"
        ]  # fmt: skip

    def test_rules_are_asked_last(self) -> None:
        assert complaint({"steps": "1", "warm": "2"}) == "`warm` is above `steps`"
        assert "above" not in complaint({"steps": "x", "warm": "2"})


WRONG: list[tuple[Kind[Any], list[str]]] = [
    (Integer(1), ["0", "-1", "1.0", "1_000", "٣", "", " ", "1e3", "x", "9" * 5000, "0x10", "01"]),
    (Integer(0, 5), ["6", "-1", "-0"]),
    (Float(), ["-0.1", "1.1", "nan", "inf", "1_0", "", "x", "0x1p-3", "0,5", "٠"]),
    (Choice(("18", "50")), ["", "51", "018", "18 50"]),
    (Flag(), ["yes", "", "2", "t"]),
    (Text(r"^[a-z]+$"), ["", "A", "a b", "a\n"]),
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG for text in texts])
def test_what_is_refused(kind: Kind[Any], text: str) -> None:
    with pytest.raises(ValueError):
        kind.parse(text)


@given(st.integers(-(10**6), 10**6))
def test_integers_are_those_in_range(number: int) -> None:
    kind = Integer(-5, 1000)
    if -5 <= number <= 1000:
        assert kind.parse(str(number)) == number
    else:
        with pytest.raises(ValueError):
            kind.parse(str(number))


@given(st.floats(0, 1))
def test_floats_in_range_are_read_exactly(number: float) -> None:
    assert Float().parse(repr(number)) == number


@given(st.dictionaries(st.sampled_from([h.name for h in described(MadeUp)] + ["_x", "y"]), st.text(max_size=12)))
def test_any_strings_parse_or_are_refused(given: dict[str, str]) -> None:
    try:
        hp = parse(MadeUp, given)
    except HyperparameterError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(hp.steps, int)
        assert 0 <= hp.rate <= 1
    assert len(message.splitlines()) <= 1


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Integer(1), "0", "it=0: expects an integer greater than or equal to 1"),
        (Float(0.0, 1.0), "much", "it=much: expects a number between 0 and 1"),
        (Choice(("sgd", "adam")), "lion", "it=lion: accepts one of the following: 'sgd', 'adam'"),
        (Text("^[a-z]+$"), "A", "it=A: expects text of the form '^[a-z]+$'"),
    ],
)
def test_at_a_terminal_a_wrong_value_is_said_in_fewer_words(kind: Kind[Any], text: str, said: str) -> None:
    assert plainly(invalid("it", text, kind.expectation())) == said


def test_at_a_terminal_names_are_said_in_fewer_words() -> None:
    assert plainly(complaint({"stepps": "1"})) == ("there is no setting `stepps`, did you mean 'steps'?; give 'steps'")
