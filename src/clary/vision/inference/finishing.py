"""Making a model of what a stopped run left: the weights of its best epoch (``artifact.draft``).

python -m clary.vision.inference.finishing FOLDER        for those who load no tensor library themselves
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from clary.errors import ArtifactError, ClaryError
from clary.vision.artifact.archive import Artifact, UnfinishedError, open_model, open_unfinished
from clary.vision.artifact.draft import SUFFIX, find_draft

__all__ = ["finish", "open_finished"]


def finish(folder: Path) -> None:
    """Make ``folder``, which holds a draft, a model folder: graph and manifest are written, the drafts go.

    Raises ArtifactError for a draft whose weights do not fit its network, AlgorithmError where an engine disagrees,
    UsageError for a full disk, MissingPackageError where there is no tensor library.
    """
    from clary.vision.artifact.export import write_model
    from clary.vision.inference.engines import installed
    from clary.vision.models import build

    draft = find_draft(folder)
    if draft is None:
        raise ArtifactError("holds no weights of a stopped run", where=folder)
    try:
        network, examples = build(draft.manifest.network), draft.examples()
        getattr(network, draft.part).load_state_dict(draft.weights())
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(f"the weights do not fit the network ({reason})", where=draft.path) from error
    write_model(folder, network.eval(), examples, draft.manifest, engines=installed())
    # The model holds the same weights.
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink()


def open_finished(path: os.PathLike[str] | str) -> Artifact:
    """``open_model``, also of what a stopped run left, which is finished first: in its folder, or beside an archive in
    a temporary one. Takes the seconds that an export does. Raises as ``open_model`` and ``finish``."""
    try:
        return open_model(path)
    except UnfinishedError as unfinished:
        return open_unfinished(unfinished.path, finish)


def main() -> int:
    """Exit code 3 where there is no draft to finish."""
    folder = Path(sys.argv[1])
    if find_draft(folder) is None:
        return 3
    try:
        finish(folder)
    except ClaryError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
