"""Pictures sorted into folders, one a class.

    ROOT/                              or with splits    ROOT/
    ├── cat/1.jpg                                        ├── train/cat/1.jpg
    └── dog/in the garden/2.png                          ├── validation/dog/2.png    also valid, val
                                                         └── test/cat/3.jpg

Class names are the names of the folders, sorted; folders below a class belong to it. A tree is taken as splits when
all its folders with pictures are called like splits, or when ``train`` and another split stand in it and ``train``
holds folders only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.image_formats import is_image
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.formats._base import IMAGE_TYPES, Format
from clary.vision.formats._classes import class_problems, folder_name, names_up_to, readable
from clary.vision.formats._files import distinct_name, file_name, place
from clary.vision.formats._layout import SPLITS, holds_lists, paired_folders, walk
from clary.vision.formats._wording import counted, relative, several, shown

EXPORT = "_annotations.coco.json"
# What stands in layouts that say by themselves what pictures show; their folders of pictures look like classes.
OTHERS = ("annotations", "Annotations", "JPEGImages", "data.yaml", "train_annotation", EXPORT)


class Folder(Format):
    """See the module. Written with split folders always, so that a class called ``train`` stays a class."""

    name = "folder"
    layout = "a folder of pictures for each class, also under train/, validation/, test/"
    tasks = frozenset[TaskName]({"classification"})
    content_types = IMAGE_TYPES

    def sniff(self, root: Path) -> bool:
        if holds_lists(root) or any(path.name in OTHERS or (path / EXPORT).is_file() for path in _entries(root)):
            return False
        if any(paired_folders(root, "images", labels) for labels in ("masks", "labels")):
            return False  # what says what the pictures show goes before folders
        return any(_holds_image(folder) for tree in _split_folders(root)[0].values() for folder in _folders(tree))

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        trees, problems = _split_folders(root)
        return read_trees(root, trees, problems)

    def _write(self, dataset: Dataset, root: Path) -> None:
        if dataset.multi_label:
            raise UsageError("class folders hold one class a picture", hint="write the lst layout instead")
        for split, samples in dataset.splits.items():
            taken: dict[int, dict[str, int]] = {}
            for sample in samples:
                class_id = sample.classes[0]
                name = distinct_name(file_name(sample), taken.setdefault(class_id, {}))
                place(sample.image, root / split / folder_name(sample, dataset) / name)

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        return not any(name.endswith(("_lst", "_annotation")) or name == "label_map" for name in channels)

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        """Class folders in ``train``, ``validation`` and ``test``, without lists: our extension."""
        if multi_label:
            raise UsageError("class folders hold one class a picture", hint="add train_lst and validation_lst channels")
        trees = {SPLITS[name]: channel.path for name, channel in channels.items() if name in SPLITS}
        return read_trees(channels["train"].path.parent, trees)


def read_trees(root: Path, trees: Mapping[SplitName, Path], problems: Iterable[Problem] = ()) -> Dataset:
    """The data set whose splits are trees of class folders; classes are those of all splits together."""
    found = {split: _Tree(root, tree) for split, tree in trees.items()}
    # Of all splits, so that an id means the same in each. Sorted by code point: the same on every machine, whatever its
    # language.
    names = sorted({name for tree in found.values() for name, images in tree.classes.items() if images})
    splits = {split: tree.samples(names) for split, tree in found.items()}
    dataset = Dataset(
        root=root,
        format=Folder.name,
        class_names=names_up_to(len(names), names),
        splits={split: samples for split, samples in splits.items() if samples or split == "train"},
    )
    where = {split: relative(tree, root) for split, tree in trees.items()}
    noted = [problem for tree in found.values() for problem in tree.problems(names)]
    noted += [
        Problem(name, f"is no UTF-8 name, its class is called {shown(known)}", "rename the folder if it is not", "note")
        for name, known in zip(names, dataset.class_names, strict=True)
        if readable(name) != name
    ]
    return replace(dataset, problems=(*problems, *noted, *class_problems(dataset, where)))


class _Tree:
    """A folder of class folders: the pictures of each, and what else lies there."""

    def __init__(self, root: Path, tree: Path) -> None:
        self._root, self._tree = root, tree
        self._unread: list[Problem] = []
        entries = _entries(tree)
        files = [path for path in entries if not _is_class(path)]
        self._beside = [path for path in files if _is_wanted(path)]
        self._others = [path for path in files if not _is_wanted(path)]
        self.classes: dict[str, list[Path]] = {}
        for folder in filter(_is_class, entries):
            found = sorted(walk(folder, self._cannot_read))
            self.classes[folder.name] = [path for path in found if _is_wanted(path)]
            self._others += [path for path in found if not _is_wanted(path)]

    def samples(self, names: Sequence[str]) -> tuple[Sample, ...]:
        """A sample a picture, class by class; ``names`` are in the order of class ids."""
        return tuple(
            Sample(Blob(path), (class_id,), source=relative(path, self._root))
            for class_id, name in enumerate(names)
            for path in self.classes.get(name, ())
        )

    def problems(self, names: Sequence[str]) -> list[Problem]:
        """What was left out; an empty class folder is an error unless another split has pictures of the class."""
        problems, known = list(self._unread), set(names)
        for name, images in self.classes.items():
            if not images and name in known:
                where = relative(self._tree / name, self._root)
                problems.append(Problem(where, "is an empty class folder", "its class has none in this split", "note"))
            # An error, not a note: an empty folder is a class that somebody meant to fill, and no id is made of it.
            elif not images:
                where = relative(self._tree / name, self._root)
                problems.append(Problem(where, "is an empty class folder", "add pictures or remove the folder"))
        where = relative(self._tree, self._root)
        if self._beside:
            what = f"has {counted(self._beside, 'picture')} beside the class folders, left out: "
            hint = "move them into the folder of their class"
            what, why = what + self._listed(self._beside), "beside the class folders"
            problems.append(Problem(where, what, hint, "note", len(self._beside), why))
        if self._others:
            what = f"has {counted(self._others, 'file')} hidden or no picture, left out: "
            what, why = what + self._listed(self._others), "hidden or no picture"
            problems.append(Problem(where, what, "", "note", len(self._others), why))
        return problems

    def _listed(self, paths: Iterable[Path]) -> str:
        return several(relative(path, self._root) for path in paths)

    def _cannot_read(self, error: OSError) -> None:
        where = relative(Path(error.filename), self._root)
        self._unread.append(Problem(where, f"cannot be read ({error.strerror})", "mend its permissions"))


def _split_folders(root: Path) -> tuple[dict[SplitName, Path], list[Problem]]:
    """Where each split lies; ``{"train": root}`` when there are none. And what had to be left out."""
    folders = _folders(root)
    named = [folder for folder in folders if folder.name.lower() in SPLITS]
    others = [folder for folder in folders if folder not in named and _holds_image(folder)]
    # A class may be called `test` or `train` (VOC has one): with other class folders beside it nothing says split.
    if not named or (others and not _surely_splits(named)):
        return {"train": root}, []
    trees: dict[SplitName, Path] = {"train": root / "train"}
    what, hint = "is left out, since it stands beside the splits", "move it into train/ if it is a class"
    left_out = {folder: sum(map(_is_wanted, walk(folder))) for folder in others}
    why = "beside the splits"
    problems = [Problem(folder.name, what, hint, "note", count, why) for folder, count in left_out.items()]
    for folder in named:
        split = SPLITS[folder.name.lower()]
        # val and valid, both there: which one was meant nobody knows.
        if trees.get(split, folder).name.lower() != folder.name.lower():
            what = f"is left out, {trees[split].name} is the {split} split already"
            problems.append(Problem(folder.name, what, "put the two together"))
        else:
            trees[split] = folder
    return trees, problems


def _surely_splits(named: list[Path]) -> bool:
    train = next((folder for folder in named if folder.name.lower() == "train"), None)
    return len(named) > 1 and train is not None and not any(_is_wanted(path) for path in _entries(train))


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing where it is missing or closed."""
    # Hidden ones too, unlike _layout.entries: they are counted and named as left out.
    path, folders, files = next(os.walk(folder), (str(folder), [], []))
    return sorted(Path(path) / name for name in folders + files)


def _is_class(path: Path) -> bool:
    # macOS's zip puts a shadow of every file there, pictures by their names.
    return path.is_dir() and not path.name.startswith((".", "__MACOSX"))


def _is_wanted(path: Path) -> bool:
    return is_image(path) and not path.name.startswith(".")


def _folders(root: Path) -> list[Path]:
    return [path for path in _entries(root) if _is_class(path)]


def _holds_image(folder: Path) -> bool:
    return any(_is_wanted(path) for path in walk(folder))


FORMAT = Folder()
