"""What the toolkit is told of a job beside the job's own tree: a file that whoever starts it writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.files import PRIVATE, write_json

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a script, or a command in the place of one, is to be run.

    ``program`` is the entry point and ``source`` where the source came from; both empty where a ``command`` needs
    neither. ``image`` is the URI asked for; ``framework``, ``version`` and ``python_version`` what it stands for, empty
    for an image of the user's own. ``variables`` are those of the request, which the script alone gets. ``layer`` is
    the folder for the job's own environment, ``environments`` that of the shared ones. ``interpreter`` and
    ``requirements`` are those of the environment that clary.toml names: by path, or made; neither where it is Clary's.
    ``complete``: what the framework needs is installed where it is missing. ``link`` is the folder in which the job's
    tree is shown while the script runs, where jobs have no /opt/ml of their own. ``emptied`` are folders of the tree,
    by their paths in it, that an attempt before may have filled.
    """

    image: str
    layer: Path
    environments: Path
    program: str = ""
    source: str = ""
    framework: str = ""
    version: str = ""
    python_version: str = ""
    hugging_face: bool = False
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    interpreter: Path | None = None
    requirements: Path | None = None
    complete: bool = True
    link: Path | None = None
    emptied: tuple[str, ...] = ()

    def write(self, file: Path) -> None:
        """Raises UsageError when the disk is full or the folder cannot be written."""
        told = asdict(self) | {"variables": dict(self.variables)}
        # The request's variables may be secrets.
        write_json(file, {name: str(v) if isinstance(v, Path) else v for name, v in told.items()}, PRIVATE)

    @classmethod
    def read(cls, file: Path) -> Plan:
        """Raises UsageError where there is none or it cannot be used."""
        try:
            told = json.loads(file.read_bytes())
            told |= {
                name: Path(told[name])
                for name in ("layer", "environments", "interpreter", "requirements", "link")
                if told[name]
            }
            return cls(**told | {name: tuple(told[name]) for name in ("command", "emptied")})
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UsageError(f"is no plan of a script ({error})", where=file, hint="start the job again") from error
