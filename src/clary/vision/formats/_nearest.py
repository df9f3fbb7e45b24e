"""What a folder that is no data set is nearest to, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clary.vision.base.image_formats import is_image
from clary.vision.formats._base import Format, Need
from clary.vision.formats._layout import entries
from clary.vision.formats._wording import shown

__all__ = ["nearest"]

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_FEW = 20  # folders looked into: a data set that lies one folder deeper


def nearest(root: Path, names: Sequence[str], layouts: Iterable[Format]) -> str:
    """How to make a data set of the folder ``root``, which holds ``names`` and is of none of ``layouts``."""
    if archives := [name for name in names if name.lower().endswith(_ARCHIVES)]:
        return f"unpack {shown(archives[0])} and give the folder that comes out"
    layouts = list(layouts)
    for folder in [path for path in entries(root) if path.is_dir()][:_FEW]:
        if any(layout.sniff(folder) for layout in layouts if layout.name != "folder"):
            return f"give {shown(folder.name)} in it, which is one"
    known = [layout for layout in layouts if layout.needs]
    scores = {layout: sum(_score(root, need) for need in layout.needs) / len(layout.needs) for layout in known}
    best = max(scores.values(), default=0)
    if not best:
        loose = any(is_image(Path(name)) for name in names)
        return f"put {'them' if loose else 'pictures'} into a folder for each class"
    # Several only where they are equally near: images/ alone may become one of three.
    found = [layout for layout, score in scores.items() if score == best][:3]
    each = (f"{layout.name}, which needs {_missing(root, layout)}" for layout in found)
    return f"it is nearest to {', or to '.join(each)}"


def _score(root: Path, need: Need) -> float:
    return 1 if _first(root, need.paths) else 0.5 if _first(root, need.misplaced) else 0


def _missing(root: Path, layout: Format) -> str:
    parts = []
    for need in layout.needs:
        if _first(root, need.paths):
            continue
        other = _first(root, need.misplaced)
        parts.append(f"{need.what} (is it {shown(other.relative_to(root).as_posix())}?)" if other else need.what)
    return " and ".join(parts) or layout.layout


def _first(root: Path, patterns: Iterable[str]) -> Path | None:
    return next((path for pattern in patterns for path in root.glob(pattern) if not path.name.startswith(".")), None)
