"""What libraries have dropped: each row of the table against the libraries that are installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from clary.toolkit import bridges, interpreter, layer
from clary.toolkit.failure import extra_info
from clary.toolkit.former_names import FORMER_NAMES, FormerName, missed
from clary.toolkit.frameworks import is_of_earlier_years

# What a script does with a name that is more than a name; `data` is a folder to write to.
USES = {
    "torch.load(weights_only=False) as the default": (
        "import fractions, torch; torch.save(fractions.Fraction(1, 2), data + '/a.pt'); torch.load(data + '/a.pt')"
    ),
    "torch.utils.data.dataloader._BaseDataLoaderIter.next": (
        "import torch; iter(torch.utils.data.DataLoader([1, 2, 3], batch_size=3)).next()"
    ),
    "matplotlib.style.use('seaborn...')": "import matplotlib.style; matplotlib.style.use('seaborn-whitegrid')",
    "yaml.load without a loader": "import yaml; yaml.load('a: 1')",
    "pandas.DataFrame.append": (
        "import pandas as pd; rows = pd.DataFrame(columns=['a', 'b'])\n"
        "for n in range(3): rows = rows.append({'a': n, 'b': str(n)}, ignore_index=True)\n"
        "rows = rows.append(pd.DataFrame({'a': [9], 'b': ['x']}))\n"
        "rows = rows.append(pd.Series([7, 'y'], index=['a', 'b'], name=5))\n"
        "assert rows.a.tolist() == [0, 1, 2, 9, 7] and rows.index.tolist() == [0, 1, 2, 0, 5], rows"
    ),
    "pandas.Series.append": (
        "import pandas as pd; assert pd.Series([1]).append([pd.Series([2]), pd.Series([3])]).tolist() == [1, 2, 3]"
    ),
    "pandas.DataFrame.iteritems": (
        "import pandas as pd; assert [n for n, _ in pd.DataFrame({'a': [1]}).iteritems()] == ['a']"
    ),
    "pandas.Series.iteritems": "import pandas as pd; assert list(pd.Series([5]).iteritems()) == [(0, 5)]",
    "pandas.DataFrame.applymap": (
        "import pandas as pd; assert pd.DataFrame({'a': [1]}).applymap(lambda n: n + 1).a.tolist() == [2]"
    ),
    "pandas.DataFrame.as_matrix": "import pandas as pd; assert pd.DataFrame({'a': [1]}).as_matrix().shape == (1, 1)",
    "pandas.DataFrame.ix": "import pandas as pd; pd.DataFrame({'a': [1]}).ix[0]",
    "pandas.read_csv(error_bad_lines)": "import io, pandas as pd; pd.read_csv(io.StringIO('a'), error_bad_lines=False)",
    "sklearn.preprocessing.OneHotEncoder(sparse)": (
        "from sklearn.preprocessing import OneHotEncoder\n"
        "from sklearn.base import clone\n"
        "assert clone(OneHotEncoder(sparse=False)).fit_transform([[0], [1]]).shape == (2, 2)"
    ),
    "sklearn.metrics.mean_squared_error(squared)": (
        "from sklearn.metrics import mean_squared_error; assert mean_squared_error([1], [3], squared=False) == 2"
    ),
    "sklearn.preprocessing.OneHotEncoder.get_feature_names": (
        "from sklearn.preprocessing import OneHotEncoder; OneHotEncoder().fit([[1]]).get_feature_names()"
    ),
    "sklearn.feature_extraction.text.CountVectorizer.get_feature_names": (
        "from sklearn.feature_extraction.text import CountVectorizer\n"
        "CountVectorizer().fit(['a word']).get_feature_names()"
    ),
    "PIL.ImageDraw.ImageDraw.textsize": (
        "from PIL import Image, ImageDraw; ImageDraw.Draw(Image.new('RGB', (9, 9))).textsize('a')"
    ),
    "PIL.ImageFont.FreeTypeFont.getsize": "from PIL import ImageFont; ImageFont.FreeTypeFont.getsize",
}
SCHEDULER = """
import torch
from torch.optim import lr_scheduler
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
given = dict(StepLR=(1,), MultiStepLR=([1],), ExponentialLR=(0.9,), LambdaLR=(float,), CosineAnnealingLR=(2,),
    CosineAnnealingWarmRestarts=(2,), CyclicLR=(0.1, 0.2), OneCycleLR=(0.1, 9), ReduceLROnPlateau=('min',))
lr_scheduler.{name}(optimizer, *given['{name}'], verbose=True)
"""
RUN = """
import json, sys, warnings
warnings.simplefilter("ignore")
data, answers = sys.argv[1], {}
for name, use in json.load(sys.stdin).items():
    try:
        exec(use, {"data": data})
        answers[name] = ""
    except Exception as error:
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else kind.__module__ + "."
        answers[name] = f"{module}{kind.__qualname__}: {error}"
print(json.dumps(answers))
"""


def _use(row: FormerName) -> str:
    if row.module == "torch.optim.lr_scheduler":
        return SCHEDULER.format(name=row.name.partition("(")[0])
    if row.full_name in USES:
        return USES[row.full_name]
    return f"from {row.module} import {row.name}" if row.name else f"import {row.module}"


def _is_here(row: FormerName) -> bool:
    """Whether there is a release without it here: of Python 3.12, say. (Transformers: `make long`, tests/sdk.)"""
    if version := re.fullmatch(r"Python 3\.(\d+)", row.gone):
        return sys.version_info >= (3, int(version[1]))
    return find_spec(row.module.partition(".")[0]) is not None


ROWS = [pytest.param(row, id=row.full_name) for row in FORMER_NAMES if _is_here(row)]
BRIDGED = [pytest.param(row, id=row.full_name) for row in FORMER_NAMES if row.bridge and _is_here(row)]


def _ran(folder: Path, *, bridged: bool) -> tuple[dict[str, str], str]:
    """What came of each use in a Python of a job's layer, by the row's name, and what was said."""
    layer.make_layer(folder / "layer", interpreter.ours())
    if bridged:
        bridges.put_into(layer.site_of(folder / "layer", interpreter.ours()))
    uses = {row.full_name: _use(row) for row in FORMER_NAMES if _is_here(row) and (row.bridge or not bridged)}
    done = subprocess.run(
        [str(layer.python_of(folder / "layer")), "-c", RUN, str(folder)],
        input=json.dumps(uses),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return answers, done.stderr


@pytest.fixture(scope="module")
def unbridged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _ran(tmp_path_factory.mktemp("plain"), bridged=False)[0]


@pytest.fixture(scope="module")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    return _ran(tmp_path_factory.mktemp("bridged"), bridged=True)


@pytest.mark.slow  # imports every library of the table
@pytest.mark.parametrize("row", ROWS)
def test_a_name_is_gone_and_said_so(unbridged: dict[str, str], row: FormerName, tmp_path: Path) -> None:
    message = unbridged[row.full_name]
    assert message, f"{row.full_name} is there"
    # Of a module that is gone as a whole Python says no more than that.
    whole = next((one for one in FORMER_NAMES if (one.module, one.name) == (row.module, "")), row)
    assert extra_info(f"{message}\n", 1, "train.py", tmp_path) == whole.advice, message


@pytest.mark.slow
@pytest.mark.parametrize("row", BRIDGED)
def test_a_name_is_put_back_and_said_once(bridged: tuple[dict[str, str], str], row: FormerName) -> None:
    answers, said = bridged
    assert answers[row.full_name] == ""
    assert said.splitlines().count(f"{row.advice}; for this script it is put back") == 1


@pytest.mark.parametrize(
    ("framework", "version", "expected"),
    [
        *(("pytorch", "1.5.0", True), ("pytorch", "2.5", True), ("pytorch", "2.6.0", False), ("pytorch", "", False)),
        *(("tensorflow", "1.15.2", True), ("tensorflow", "2.16", False), ("scikit-learn", "0.23-1", True)),
        *(("scikit-learn", "1.4-2", False), ("base-python", "3.8", False), ("mine", "1", False)),
    ],
)
def test_for_whom(framework: str, version: str, expected: bool) -> None:
    assert is_of_earlier_years(framework, version) is expected


def test_errors_of_a_scripts_own_are_left_alone() -> None:
    for message in (
        "AttributeError: 'Net' object has no attribute 'fc'",
        "ImportError: cannot import name 'Net' from 'model' (/opt/ml/code/model.py)",
        "ModuleNotFoundError: No module named 'timm'",
        "ModuleNotFoundError: No module named 'sklearn'",
        "TypeError: main() got an unexpected keyword argument 'verbose'",
        "AttributeError: module 'torch' has no attribute 'foo'",
        "",
    ):
        assert missed(message) is None, message


def test_what_is_not_installed_is_not_there(tmp_path: Path) -> None:
    script = "import clary.toolkit.bridges as b; b.FORMER_NAMES = (b.FormerName('absent', 'x', 'A 1', 'no', 'os:x'),)\n"
    script += "b.install(); import importlib.util\nassert importlib.util.find_spec('absent') is None\n"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=tmp_path)


def test_ours_is_no_process_of_theirs() -> None:
    """This one runs Clary, and has the libraries as they are."""
    import collections

    with pytest.raises(AttributeError):
        collections.Mapping  # type: ignore[attr-defined]  # noqa: B018
    assert not any(type(finder).__module__ == bridges.__name__ for finder in sys.meta_path)
