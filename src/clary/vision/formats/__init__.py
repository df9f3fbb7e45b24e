"""Layouts of data sets on disk. ``read`` finds out which one a folder has; each file here is one of them."""

from __future__ import annotations

from pathlib import Path

from clary.errors import DataError
from clary.registry import Registry
from clary.vision.base.image_formats import is_image
from clary.vision.base.types import Dataset, TaskName
from clary.vision.formats._base import Format
from clary.vision.formats._nearest import nearest

__all__ = ["FORMATS", "Format", "detect", "read"]

FORMATS: Registry[Format] = Registry("formats", "clary.vision.formats", "FORMAT")


def detect(root: Path | str) -> Format:
    """The format of the data set at ``root``. Raises DataError naming the layouts there are when it is none."""
    root = Path(root)
    names = _names_in(root)
    # All are asked, though the first yes would do: a folder that two layouts claim must not be read by whichever is
    # first.
    found = [format for format in FORMATS if format.sniff(root)]
    if len(found) == 1:
        return found[0]
    if found:
        both = " and ".join(format.name for format in found)
        raise DataError(f"could be read as {both}", where=root, hint="take away the files that belong to the other")
    what = "is empty" if not names else "is no data set of a layout known here"
    if any(is_image(Path(name)) for name in names):
        what = "holds pictures but nothing that says what they show"
    raise DataError(what, where=root, hint=f"{nearest(root, names, FORMATS)}; `clary data layouts` draws them all")


def read(root: Path | str, *, task: TaskName | None = None, labels: str | None = None) -> Dataset:
    """The data set at ``root``, in whichever format it is; ``labels`` chooses between the classes a format offers.

    ``task`` None is what the data set is for: classification where it says so, else what its labels are.

    Raises DataError for a folder that is no data set, UsageError for a task or labels its format does not have.
    A bad record raises nothing: see ``Dataset.problems``.
    """
    root = Path(root)
    return detect(root).read(root, task=task, labels=labels, sniffed=True)


def _names_in(root: Path) -> list[str]:
    try:
        return [path.name for path in root.iterdir()]
    except FileNotFoundError:
        raise DataError("does not exist", where=root, hint="check the path") from None
    except NotADirectoryError:
        raise DataError("is a file, not a folder", where=root, hint="unpack it, then give the folder") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=root, hint="mend its permissions") from error
