"""Why a service could not be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from clary.errors import CustomerError
from clary.toolkit.serving import functions, pytorch
from clary.toolkit.serving.failure import LIMIT, explain


def reason(model: Path) -> str:
    with pytest.raises(BaseException) as caught:  # what it is the test's own
        functions.load(model, {})
    return explain(caught.value, model, {})


def test_model_fn_that_raises(make_model):
    script = "def model_fn(model_dir):\n    weights = {}\n    return weights['net']\n"
    first, *trace = reason(make_model({"inference.py": script})).splitlines()
    assert first == "KeyError: 'net'"
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[1].endswith('inference.py", line 3, in model_fn'), "the user's code, nothing of ours before it"
    assert trace[-1] == "KeyError: 'net'"


def test_a_missing_module(make_model):
    first, *_ = reason(make_model({"inference.py": "import skimage_of_nobody\n"})).splitlines()
    assert first == (
        "ModuleNotFoundError: No module named 'skimage_of_nobody'; add the line `skimage-of-nobody` to a file "
        "requirements.txt beside inference.py, at the root of source_dir"
    )


def test_a_syntax_error(make_model):
    first, *rest = reason(make_model({"inference.py": "def model_fn(model_dir):\n    return (\n"})).splitlines()
    assert first.startswith("SyntaxError: '(' was never closed; mend line 2 of inference.py; it is read by Python 3.")
    assert "    return (" in rest


def test_a_long_story_ends_with_its_end(make_model):
    calls = "".join(f"def f{n}(x):\n    return f{n + 1}(x)\n" for n in range(40))
    script = f"{calls}def f40(x):\n    raise ValueError('deep ' * 40)\ndef model_fn(d):\n    return f0(d)\n"
    text = reason(make_model({"inference.py": script}))
    assert len(text) <= LIMIT
    first, second, *_, last = text.splitlines()
    assert first.startswith("ValueError: deep deep")
    assert second.startswith("...")
    assert last.startswith("ValueError: deep deep")


def test_notes_are_told(make_model):
    error = ValueError("no model")
    error.add_note("it should be there")
    assert explain(error, make_model(), {}).startswith("ValueError: no model; it should be there")


def test_an_error_of_ours_is_its_own_line(make_model):
    error = CustomerError("cannot be used", where="here", hint="mend it")
    assert explain(error, make_model(), {}) == "here: cannot be used; mend it"


def test_what_a_default_function_raises_is_one_line(make_model):
    with pytest.raises(ValueError, match="Exactly one") as caught:
        pytorch.load(make_model(), {})
    text = explain(caught.value, make_model(), {})
    assert text.startswith(
        "ValueError: Exactly one .pth or .pt file is required for PyTorch models: []; there is no inf"
    )
    assert "\n" not in text


def test_leaving_while_it_is_imported(make_model):
    assert reason(make_model({"inference.py": "import sys\nsys.exit('no weights')\n"})).startswith("SystemExit: no w")
