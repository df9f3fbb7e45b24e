"""Expressions of customers: Python's own meaning, and an end to each."""

from __future__ import annotations

import json
import math
import re
import subprocess
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.control.jobs.metric_search import search, too_slow

# What people write: SageMaker's guide and examples, Keras, PyTorch, Transformers, XGBoost, COCO.
USUAL = {
    r"loss: ([0-9\.]+)": "epoch 3 - loss: 0.25",
    r".*Validation-accuracy=([0-9\.]+).*": "INFO Epoch[10] Validation-accuracy=0.875",
    r"#quality_metric: host=\S+, epoch=\S+, validation mAP <score>=\((\S+)\)": (
        "#quality_metric: host=algo-1, epoch=3, validation mAP <score>=(0.123)"
    ),
    r"(?<!val_)loss: ([0-9.]+)": "val_loss: 0.5 loss: 0.25",
    r"^(?!.*val).*loss: ([\d.]+)": "loss: 0.5",
    r"(?i)accuracy\s*[:=]\s*([0-9.]+)": "ACCURACY = 0.5",
    r".*\[[0-9]+\].*#011validation-auc:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*": "[10]#011validation-auc:0.95",
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*loss": "1.5e-3 loss",
    r"'eval_loss': ([0-9\.]+)": "{'eval_loss': 0.25, 'eval_accuracy': 0.9}",
    r".*loss: ([0-9\.]+).*acc: ([0-9\.]+).*": "1s - loss: 0.25 - acc: 0.75",
    r"loss=(?P<loss>[-+]?\d*\.\d+|\d+)": "loss=-0.5",
    r"norm (\w+)": "norm 1\uff12",  # a digit beside ASCII's: \w and \d are Unicode's in Python
}


def test_an_expression_means_what_it_means_in_python():
    for expression, line in USUAL.items():
        match = re.search(expression, line)
        assert match
        assert search({"it": expression}, ["nothing", line])["it"] == [(1, float(match.group(1)))], expression


@pytest.mark.slow
def test_what_people_write_is_not_refused():
    assert too_slow({expression: expression for expression in USUAL}) == []


@pytest.mark.slow
@pytest.mark.parametrize("expression", [".*.*.*.*Q", "(a+)+$", r"(.*?,){11}P"])
def test_what_takes_for_ever_is_refused(expression):
    assert too_slow({"it": expression}) == ["it"]


def test_one_that_takes_for_ever_costs_its_time_and_nobody_elses():
    """Nor does it hold this process: others run meanwhile."""
    turns, over = 0, threading.Event()

    def run() -> None:
        nonlocal turns
        while not over.wait(0.001):
            turns += 1

    other = threading.Thread(target=run)
    other.start()
    began = time.thread_time()
    found = search({"bad": ".*.*.*Q", "good": r"loss=(\S+)"}, ["a" * 1000, "loss=1"], 0.3)
    spent = time.thread_time() - began
    over.set()
    other.join()
    assert found == {"bad": None, "good": [(1, 1.0)]}
    assert spent < 0.15
    assert turns > 20


def test_one_that_ends_the_process_is_found_out_and_the_others_go_on():
    """The whole of the memory there is: a thousand groups in a thousand groups, each with something to remember."""
    greedy = "(?:(a?)){1,65000}" * 8
    found = search({"good": r"loss=(\S+)", "bad": greedy + "(?=b)", "other": "step (.*)"}, ["loss=1", "step 2"], 1.0)
    assert found["good"] == [(0, 1.0)]
    assert found["other"] == [(1, 2.0)]


def test_a_process_that_dies_is_asked_one_by_one(monkeypatch):
    real, asked = subprocess.run, []

    def run(command, *, input, **more):
        asked.append(sorted(json.loads(input)["expressions"]))
        if "bad" in asked[-1]:
            raise subprocess.CalledProcessError(-9, command)
        return real(command, input=input, **more)

    monkeypatch.setattr(subprocess, "run", run)
    assert search({"good": r"loss=(\S+)", "bad": "x"}, ["loss=1"]) == {"good": [(0, 1.0)], "bad": None}
    assert asked == [["bad", "good"], ["good"], ["bad"]]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_may_be_searched(lines):
    for index, value in search({"it": r"([-+]?[0-9.einfa]+)"}, lines)["it"]:
        assert math.isfinite(value)
        assert 0 <= index < len(lines)


def test_without_a_group_the_match_is_the_value():
    assert search({"it": r"[0-9]+"}, ["step 12", "none"])["it"] == [(0, 12.0)]
