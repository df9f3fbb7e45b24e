"""What AWS's images bring and Clary's own environment has not: installed for the scripts that import it.

Scripts that never said in a requirements.txt that they need the SageMaker SDK or TensorBoard run unchanged so.
Source: the packages of AWS's images for PyTorch and TensorFlow 1.5 to 2.6 (aws/deep-learning-containers).
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from clary.toolkit.requirements import Requirements, requirements_of

__all__ = ["brought_packages"]

# By the module that is imported, the most special first.
_PACKAGES = {
    "sagemaker.core": "sagemaker>=3",
    "sagemaker.train": "sagemaker>=3",
    "sagemaker": "sagemaker<3",
    "torch.utils.tensorboard": "tensorboard",
    "tensorboard": "tensorboard",
    "tensorboardX": "tensorboardX",
    "seaborn": "seaborn",
    "imageio": "imageio",
    "plotly": "plotly",
    "numba": "numba",
    "h5py": "h5py",
    "psutil": "psutil",
    "s3fs": "s3fs",
}
_FRAMEWORKS = ("pytorch", "tensorflow")  # whose images bring them
_FILES = 2000  # of a source, that are looked at
_BYTES = 1 << 20  # of a file


def brought_packages(framework: str, wanted: Requirements, *sources: Path) -> Requirements:
    """What the sources import of it; nothing of what is here, in ``wanted``, or a module of the source itself."""
    if framework not in _FRAMEWORKS:
        return requirements_of(name="")
    imported = {name for source in sources for name in _imports(source)}
    own = {path.stem for source in sources if source.is_dir() for path in source.iterdir()}
    asked = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in wanted.lines}
    packages: dict[str, str] = {}
    for module, package in _PACKAGES.items():
        name = re.split(r"[<>=]", package, maxsplit=1)[0]
        root = module.partition(".")[0]
        if (
            any(found == module or found.startswith(f"{module}.") for found in imported)
            and root not in own
            and name.lower() not in asked
            and importlib.util.find_spec(name) is None
        ):
            packages.setdefault(name, package)
    return requirements_of(*packages.values(), name="what AWS's image has besides")


def _imports(source: Path) -> Iterator[str]:
    """The modules that are imported in the files of a source, wherever in them."""
    for number, file in enumerate(sorted(source.rglob("*.py"))):
        if number == _FILES:
            return
        try:
            tree = ast.parse(file.read_bytes()[:_BYTES])
        except (OSError, SyntaxError, ValueError, RecursionError):  # whoever runs it is told
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
