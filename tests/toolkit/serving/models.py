"""Models with code of their own, to be loaded in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent


@contextmanager
def models(root: Path) -> Iterator[Callable[..., Path]]:
    """Gives ``make({"inference.py": text})``: a model folder with that in its code/; ``data`` lies at its root.

    What is imported meanwhile is forgotten afterwards.
    """
    paths, modules = list(sys.path), set(sys.modules)
    count = 0

    def make(code: Mapping[str, str] | None = None, data: Mapping[str, bytes] | None = None) -> Path:
        nonlocal count
        count += 1
        model = root / f"tree-{count}" / "model"
        model.mkdir(parents=True)
        for name, text in (code or {}).items():
            path = model / "code" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        for name, content in (data or {}).items():
            (model / name).write_bytes(content)
        _forget(modules)
        sys.path[:] = paths
        return model

    yield make
    sys.path[:] = paths
    _forget(modules)


def _forget(known: set[str]) -> None:
    """User modules and our stand-ins; libraries such as PyTorch cannot be loaded twice."""
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if "/tree-" in file or "/toolkit/packages/" in file:
            del sys.modules[name]
