"""Which arithmetic a run takes: known, tried, or by the rule; and never by chance."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from clary.vision.base.events import Way
from clary.vision.training import precision_choice
from clary.vision.training.precision_cache import PrecisionCache
from clary.vision.training.precision_choice import BUDGET, KNOWN, LEAD, LEAD_AGAINST, Pair, choose, trial_size

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Machine:
    """Stands for a processor: a step costs what is said, the first of each precision much more; ``noise`` draws by how
    much each step takes longer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, bf16: float, fp32: float, kind: str | None = "amx") -> None:
        self.now = 0.0
        self.steps: list[str] = []
        self.networks: list[nn.Module] = []
        self.noise = lambda: 1.0
        self._seconds = {"bf16": bf16, "fp32": fp32}
        monkeypatch.setattr(precision_choice, "processor", lambda device: kind)
        monkeypatch.setattr("clary.vision.training.precision_choice.time.perf_counter", lambda: self.now)

    def step(self, network: nn.Module, kind: str) -> None:
        self.now += self._seconds[kind] * self.noise() + (100 if kind not in self.steps else 0)
        self.steps.append(kind)
        self.networks.append(network)
        for parameter in network.parameters():
            parameter.data.fill_(1.0)

    def choose(self, architecture: str = "", cache: PrecisionCache | None = None, way: Way = "plain") -> str:
        return choose(nn.Linear(2, 2), self.step, CPU, architecture=architecture, way=way, cache=cache).precision


@pytest.mark.parametrize(("bf16", "fp32", "expected"), [(0.1, 0.13, "bf16"), (0.13, 0.1, "fp32")])
def test_a_network_that_is_not_known_is_tried(
    bf16: float, fp32: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, bf16=bf16, fp32=fp32)
    choice = choose(nn.Linear(2, 2), machine.step, CPU)
    assert choice.precision == expected
    assert choice.reason.startswith("1.30 times as fast as ")
    assert len(machine.steps) == 2 * (1 + {"bf16": LEAD, "fp32": LEAD_AGAINST}[expected])


def test_both_are_tried_in_turn_and_none_is_always_first(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, bf16=0.1, fp32=0.2)
    machine.choose()
    pairs = list(zip(machine.steps[2::2], machine.steps[3::2], strict=True))
    assert set(pairs) == {("bf16", "fp32"), ("fp32", "bf16")}


def test_a_trial_ends_with_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, bf16=1.0, fp32=0.5)  # three steps and the budget is spent
    choice = choose(nn.Linear(2, 2), machine.step, CPU)
    assert choice == ("bf16", "the rule: no certain difference in 2 pairs of steps (0.50 times as fast as fp32)")
    assert machine.now <= 200 + 1.5 + BUDGET + 1.5


def test_a_small_difference_turns_no_rule_over(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, bf16=0.011, fp32=0.010)
    assert machine.choose() == "bf16"


@pytest.mark.parametrize(("fp32", "expected"), [(0.13, "bf16"), (0.10, "bf16"), (0.095, "bf16"), (0.05, "fp32")])
def test_other_programs_do_not_turn_the_choice(fp32: float, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random.Random(0)
    found = set()
    for _ in range(200):
        machine = Machine(monkeypatch, bf16=0.1, fp32=fp32)
        machine.noise = lambda: 1 + noise.expovariate(4)  # a quarter longer on average, now and then twice as long
        found.add(machine.choose())
    assert found == {expected}


def test_what_is_known_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, bf16=2.0, fp32=1.0)
    monkeypatch.setattr(torch, "__version__", "2.15.3+cpu")
    assert machine.choose("timm:resnet18") == "bf16"
    assert machine.steps == []
    monkeypatch.setattr(torch, "__version__", "2.150.0")
    machine.choose("timm:resnet18")
    assert machine.steps != []


def test_all_that_is_known_is_that_bf16_is_faster() -> None:
    assert all(ratio >= 1.05 for ratio in KNOWN.values())


def test_what_is_known_of_one_way_is_not_known_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.15.0")
    monkeypatch.setattr(precision_choice, "KNOWN", {Pair("amx", "timm:resnet18", "2.15", "folded norms"): 2.0})
    machine = Machine(monkeypatch, bf16=2.0, fp32=1.0)
    assert machine.choose("timm:resnet18", way="folded norms") == "bf16"
    assert machine.steps == []
    machine.choose("timm:resnet18")
    assert machine.steps != []


def test_trial_is_made_on_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, bf16=0.1, fp32=0.2)
    network = nn.Linear(2, 2)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    choose(network, machine.step, CPU)
    assert all(tried is not network for tried in machine.networks)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before, strict=True))


def test_nothing_is_tried_where_there_is_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, bf16=0.1, fp32=0.2, kind=None)
    assert machine.choose("timm:resnet18") == "fp32"
    assert machine.steps == []


@pytest.mark.parametrize("faster", ["bf16", "fp32"])
def test_a_certain_outcome_is_kept_and_not_tried_again(
    faster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PrecisionCache(tmp_path / "trials.json", "key")
    seconds = {"bf16": 0.2, "fp32": 0.2, faster: 0.1}
    machine = Machine(monkeypatch, bf16=seconds["bf16"], fp32=seconds["fp32"])
    assert machine.choose(cache=cache) == faster
    taken = len(machine.steps)
    assert machine.choose(cache=cache) == faster
    assert len(machine.steps) == taken


def test_an_uncertain_outcome_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PrecisionCache(tmp_path / "trials.json", "key")
    machine = Machine(monkeypatch, bf16=0.1, fp32=0.099)
    assert machine.choose(cache=cache) == "bf16"
    assert cache.recall() is None


def test_a_few_images_are_enough_on_a_cpu() -> None:
    assert [trial_size(count, CPU) for count in (1, 3, 8, 32)] == [2, 2, 4, 4]
    assert trial_size(32, CUDA) == 16
