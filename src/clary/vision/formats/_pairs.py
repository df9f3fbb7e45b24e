"""Pictures in one folder, what is known of them in another, under the same name but for the suffix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clary.vision.base.image_formats import is_image
from clary.vision.base.types import Problem
from clary.vision.formats._layout import nfc, walk
from clary.vision.formats._wording import counted, relative, several

__all__ = ["Pairs", "pair"]


@dataclass(slots=True)
class Pairs:
    """``found``: picture and companion by name, in order; ``single``: pictures without one."""

    found: list[tuple[Path, Path]] = field(default_factory=list)
    single: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def pair(root: Path, image_folder: Path, others: Path, suffix: str) -> Pairs:
    """Pair the pictures below ``image_folder`` with the files ``*suffix`` below ``others``, at any depth.

    Problems name what was passed over; pictures without a companion are for the caller to judge.
    """
    pairs = Pairs()
    companions = _by_stem(others, lambda path: path.suffix.lower() == suffix, pairs.problems, root)
    images = _by_stem(image_folder, is_image, pairs.problems, root, others.name)
    # Paired by name alone, the folders below included, as SageMaker's channels do: yard/7.jpg and yard/7.json.
    for stem, path in images.items():
        if stem in companions:
            pairs.found.append((path, companions[stem]))
        else:
            pairs.single.append(path)
    lonely = [relative(path, root) for stem, path in companions.items() if stem not in images]
    if lonely:
        what = f"has {counted(lonely, 'file')} without a picture of that name, left out: {several(lonely)}"
        hint, why = "put the pictures back or remove them", "no picture of its name"
        pairs.problems.append(Problem(relative(others, root), what, hint, "note", len(lonely), why))
    return pairs


def _by_stem(folder: Path, wanted: object, problems: list[Problem], root: Path, others: str = "") -> dict[str, Path]:
    found: dict[str, Path] = {}
    strange: list[str] = []
    for path in _own(folder, sorted(_files(folder, root, problems)), others, problems, root):
        stem = nfc(path.relative_to(folder).with_suffix("").as_posix())
        # Files of operating systems (.DS_Store, ._a.jpg) come along with archives and uploads.
        if path.name.startswith(".") or not wanted(path):  # type: ignore[operator]
            strange.append(relative(path, root))
        elif stem in found:
            what = f"is left out, {relative(found[stem], root)} has the same name"
            problems.append(
                Problem(relative(path, root), what, "rename one of the two", "error", 1, "with a name used twice")
            )
        else:
            found[stem] = path
    if strange:
        what = f"has {counted(strange, 'file')} of another kind, left out: {several(strange)}"
        kind = Problem(relative(folder, root), what, "", "note", len(strange), "of another kind")
        problems.append(kind)
    return found


def _own(folder: Path, files: list[Path], others: str, problems: list[Problem], root: Path) -> list[Path]:
    """The files of a folder without those of its neighbour ``others``.

    An S3 prefix ``data/train`` is also that of ``data/train_annotation/1.png``, which thus lies in ``train`` as
    ``train_annotation/1.png``, and is no picture.
    """
    # Only where one name begins with the other: S3 knows no folders, a prefix is the beginning of a key.
    if not others.startswith(folder.name) or others == folder.name:
        return files
    own = [path for path in files if not path.is_relative_to(folder / others)]
    if len(own) < len(files):
        # Not counted as left out: they are used, where they belong.
        what = f"has the {counted(range(len(files) - len(own)), 'file')} of {others} as well, left out"
        hint = "end the S3 URI of this channel with a slash"
        problems.append(Problem(relative(folder, root), what, hint, "note"))
    return own


def _files(folder: Path, root: Path, problems: list[Problem]) -> Iterator[Path]:
    def closed(error: OSError) -> None:
        where = relative(Path(error.filename), root)
        problems.append(Problem(where, f"cannot be read ({error.strerror})", "put it back or mend its permissions"))

    return walk(folder, closed)
