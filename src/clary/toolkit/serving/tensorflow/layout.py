"""Which folders of the model data are models. Source: the image's tfs_utils.py, find_models.

    model/<anything>/<name>/<digits>/saved_model.pb      the model <name>, version <digits>
    model/<digits>/saved_model.pb                        the model `model`

Where there is none of that, what SageMaker's image would not serve is served all the same: a SavedModel in a folder of
any name, and files of Keras.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clary.errors import CustomerError

__all__ = ["Layout", "find_models"]

_FILE = "saved_model.pb"
_KERAS = (".keras", ".h5", ".hdf5")
ROOT = "model"  # what the folder of the model data is called in a container


@dataclass(frozen=True, slots=True)
class Layout:
    """Models by name, each a folder or a file by version. ``ours``: SageMaker's image would find none of them."""

    models: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    ours: bool = False


def find_models(model_dir: Path) -> Layout:
    """The models of the model data, in the order of their paths.

    Raises CustomerError where there is none, and where two have one name.
    """
    folders = [path.parent for path in sorted(model_dir.rglob(_FILE))]
    versions = [(folder.parent, int(folder.name), folder) for folder in folders if _is_version(folder, model_dir)]
    if versions:
        return Layout(_by_name(model_dir, versions))
    files = [path for path in sorted(model_dir.rglob("*")) if path.suffix in _KERAS and path.is_file()]
    # Weights of a SavedModel's neighbour, of a checkpoint: only a model's own file has its layers in it.
    single = [(folder, 1, folder) for folder in folders] or [(path.with_suffix(""), 1, path) for path in files]
    if single:
        return Layout(_by_name(model_dir, single), ours=True)
    raise CustomerError(
        "no SavedModel bundles found!",
        where=str(model_dir),
        hint=f"save it as <name>/<number>/{_FILE}; {_holds(model_dir)}",
    )


def _is_version(folder: Path, model_dir: Path) -> bool:
    return folder != model_dir and folder.name.isascii() and folder.name.isdigit()


def _by_name(model_dir: Path, found: Iterable[tuple[Path, int, Path]]) -> dict[str, dict[int, Path]]:
    models: dict[str, dict[int, Path]] = {}
    places: dict[str, Path] = {}
    for place, version, path in found:
        name = ROOT if place == model_dir else place.name
        if places.setdefault(name, place) != place:
            both = " and ".join(str(one.relative_to(model_dir)) for one in (places[name], place))
            raise CustomerError(f"two models are called {name}: {both}", where=str(model_dir), hint="rename one")
        models.setdefault(name, {})[version] = path
    return models


def _holds(model_dir: Path) -> str:
    names = sorted(path.relative_to(model_dir).as_posix() for path in model_dir.rglob("*") if path.is_file())
    return f"it holds {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "it is empty"
