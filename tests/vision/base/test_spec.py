from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import HyperparameterError
from clary.vision.algorithms.catalog import SPECS
from clary.vision.base.spec import Choice, Flag, Float, Hyperparameter, Hyperparameters, Integer, Kind, Spec, Text


def no_more_than_steps(hp: Hyperparameters) -> Sequence[str]:
    return ["`warm` is above `steps`"] if hp.warm > hp.steps else []


SPEC = Spec(
    name="made-up",
    task="classification",
    hyperparameters=(
        Hyperparameter("steps", Integer(1), "how many", required=True),
        Hyperparameter("size", Integer(300, 10_000), "how large", 300),
        Hyperparameter("rate", Float(0, 1), "how fast", 0.1),
        Hyperparameter("kind", Choice(("a", "b", "c")), "which", "a"),
        Hyperparameter("fast", Flag(), "whether", False),
        Hyperparameter("shape", Text(r"^[0-9]+(,[0-9]+)*$", lambda t: tuple(map(int, t.split(",")))), "what", (1, 2)),
        Hyperparameter("warm", Integer(0), "first", 0),
    ),
    channels=(),
    metrics=(),
    rules=(no_more_than_steps,),
)


def complaint(given: dict[str, str]) -> str:
    with pytest.raises(HyperparameterError) as caught:
        SPEC.parse(given)
    return str(caught.value)


class TestValues:
    def test_strings_become_values_and_the_rest_defaults(self) -> None:
        hp = SPEC.parse({"steps": " 12 ", "rate": "1e-3", "kind": "b", "fast": "True", "shape": "3,224,224"})
        assert dict(hp) == {
            "steps": 12, "size": 300, "rate": 0.001, "kind": "b", "fast": True, "shape": (3, 224, 224), "warm": 0,
        }  # fmt: skip
        assert hp.given == {"steps", "rate", "kind", "fast", "shape"}
        assert (hp.steps, hp["steps"], len(hp)) == (12, 12, 7)

    def test_names_of_sagemaker_are_left_out(self) -> None:
        assert "_tuning_objective_metric" not in SPEC.parse({"steps": "1", "_tuning_objective_metric": "x"})

    def test_an_unknown_attribute(self) -> None:
        with pytest.raises(AttributeError, match="no hyperparameter `stepps`"):
            _ = SPEC.parse({"steps": "1"}).stepps

    def test_they_can_be_copied_and_sent(self) -> None:
        hp = SPEC.parse({"steps": "1"})
        for again in (copy.deepcopy(hp), pickle.loads(pickle.dumps(hp))):
            assert dict(again) == dict(hp)

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
        assert "('zzzz' was unexpected)" in complaint({"steps": "1", "zzzz": "1"})

    def test_all_mistakes_at_once(self) -> None:
        text = complaint({"size": "x", "rate": "2", "kind": "", "nonsense": "1"})
        assert [word for word in ("'size'", "'rate'", "'kind'", "'nonsense'", "'steps'") if word in text] == [
            "'size'", "'rate'", "'kind'", "'nonsense'", "'steps'"
        ]  # fmt: skip

    def test_rules_are_asked_last(self) -> None:
        assert complaint({"steps": "1", "warm": "2"}) == "`warm` is above `steps`"
        assert "above" not in complaint({"steps": "x", "warm": "2"})


WRONG: list[tuple[Kind, list[str]]] = [
    (Integer(1), ["0", "-1", "1.0", "1_000", "٣", "", " ", "1e3", "x", "9" * 5000, "0x10", "01"]),
    (Integer(0, 5), ["6", "-1", "-0"]),
    (Float(), ["-0.1", "1.1", "nan", "inf", "1_0", "", "x", "0x1p-3", "0,5", "٠"]),
    (Choice(("18", "50")), ["", "51", "018", "18 50"]),
    (Flag(), ["yes", "", "2", "t"]),
    (Text(r"^[a-z]+$"), ["", "A", "a b", "a\n"]),
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG for text in texts])
def test_what_is_refused(kind: Kind, text: str) -> None:
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


@given(st.dictionaries(st.sampled_from([h.name for h in SPEC.hyperparameters] + ["_x", "y"]), st.text(max_size=12)))
def test_any_strings_parse_or_are_refused(given: dict[str, str]) -> None:
    try:
        hp = SPEC.parse(given)
    except HyperparameterError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(hp.steps, int)
        assert 0 <= hp.rate <= 1
    assert len(message.splitlines()) <= 1


@pytest.mark.parametrize("spec", list(SPECS), ids=lambda spec: spec.name)
class TestEverySpec:
    def test_defaults_are_values_of_their_kind(self, spec: Spec) -> None:
        for one in spec.hyperparameters:
            if one.default is not None and not one.required:
                assert one.parse(_spelled(one)) == one.default, one.name

    def test_everything_is_said(self, spec: Spec) -> None:
        names = [one.name for one in spec.hyperparameters]
        assert len(set(names)) == len(names)
        for one in spec.hyperparameters:
            assert one.meaning
            assert one.kind.allowed()
            assert one.kind.expectation().startswith(("expects", "accepts"))
        assert {channel.name for channel in spec.channels if channel.required} == {"train", "validation"}
        assert sum(metric.objective for metric in spec.metrics) == 1

    def test_patterns_of_metrics_have_one_group(self, spec: Spec) -> None:
        assert all(re.compile(metric.pattern).groups == 1 for metric in spec.metrics)

    def test_local_defaults_are_valid(self, spec: Spec) -> None:
        known = {one.name: one for one in spec.hyperparameters}
        for name, text in (spec.local_defaults or {}).items():
            known[name].parse(text)

    def test_recommended_ranges_lie_in_what_is_allowed(self, spec: Spec) -> None:
        for one in spec.hyperparameters:
            if one.tunable and one.tunable.values:
                assert [one.parse(value) for value in one.tunable.values]
            elif one.tunable:
                assert one.tunable.low < one.tunable.high
                for bound in (one.tunable.low, one.tunable.high):
                    one.parse(str(int(bound)) if isinstance(one.kind, Integer) else repr(float(bound)))


def _spelled(one: Hyperparameter) -> str:
    """The default as a user would write it."""
    value: Any = one.default
    if isinstance(one.kind, Choice) and isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
