"""What AWS's images bring is there for the scripts that import it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from clary.toolkit.brought import brought_packages
from clary.toolkit.requirements import Requirements

NOTHING = Requirements((), shared=True)


def _packages(folder: Path, script: str, wanted: Requirements = NOTHING, framework: str = "pytorch") -> tuple[str, ...]:
    (folder / "train.py").write_text(script)
    return brought_packages(framework, wanted, folder).lines


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("from sagemaker.experiments.run import load_run\nimport sagemaker\n", ("sagemaker<3",)),
        ("from sagemaker.core.helper.session_helper import Session\n", ("sagemaker>=3",)),
        ("def main():\n    from torch.utils.tensorboard import SummaryWriter\n", ("tensorboard",)),
        ("from torch.utils import tensorboard\n", ("tensorboard",)),
        ("import sagemaker_training, sagemaker_containers\nfrom .sagemaker import x\n", ()),
        ("import numpy, torch.utils.data\n", ()),
        ("print 'of Python 2'\n", ()),
    ],
)
def test_by_what_is_imported(tmp_path: Path, script: str, packages: tuple[str, ...]) -> None:
    assert _packages(tmp_path, script) == packages


def test_not_what_the_source_has_or_asks_for_itself(tmp_path: Path) -> None:
    pinned = Requirements(("sagemaker == 2.100.0", "tensorboard>=2"), shared=True)
    script = "import sagemaker, tensorboard\n"
    assert _packages(tmp_path, script, pinned) == ()
    assert _packages(tmp_path, script, framework="scikit-learn") == ()
    (tmp_path / "sagemaker").mkdir()
    assert _packages(tmp_path, script) == ("tensorboard",)


@pytest.mark.slow  # pip takes seconds
def test_a_script_finds_it_and_goes_on_without_what_cannot_be_had(run_script: Any) -> None:
    run_script.wheel("seaborn", "1.0", "version = 1\n")
    script = "import seaborn\nprint('version', seaborn.version)\n"
    script += "try:\n    import plotly\nexcept ImportError:\n    print('without')\n"
    found = run_script(
        {"train.py": "import seaborn\nprint('version', seaborn.version)\n"}, framework="pytorch", complete=True
    )
    assert found.code == 0, found.log
    assert "Installing dependencies from what AWS's image has besides:" in found.log
    assert re.search(r"^version 1$", found.log, re.MULTILINE)
    gone = run_script({"train.py": script[script.index("try") :]}, framework="pytorch", complete=True)
    assert gone.code == 0, gone.log
    assert re.search(r"^plotly cannot be installed, and the script goes on without: ", gone.log, re.MULTILINE)
    assert re.search(r"^without$", gone.log, re.MULTILINE)
