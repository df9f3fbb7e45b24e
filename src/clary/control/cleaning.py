"""What a home can do without: folders of jobs whose results are stored, old logs, environments that nobody asks for.

Never an object of a bucket, never what is in use, never the only copy of a model or a checkpoint. It works beside a
gateway that runs on the home, and may be killed at any point: what it was about to remove is removed the next time.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from clary.control.jobs.folders import host_folder, job_folder, mark, remove_tree
from clary.control.jobs.kind import JobKind
from clary.control.settings import Settings
from clary.control.store.records import Record, Store
from clary.errors import UsageError
from clary.toolkit.environments import Environments

__all__ = ["Item", "clean"]

_REMOVED = ".removed-"  # begins the name of a job's folder that is on its way out; no job is called so
_ENDPOINTS = "/aws/sagemaker/Endpoints/"
_YOUNG = "too young"


@dataclass(frozen=True, slots=True)
class Item:
    """Something in a home: ``kind`` is ``job``, ``log`` or ``environment``, ``size`` in bytes.

    ``kept`` is why it stays; empty for what goes, or went.
    """

    kind: str
    path: Path
    size: int
    kept: str = ""


def clean(
    settings: Settings, store: Store, kinds: Mapping[str, JobKind], *, before: float, dry_run: bool = False
) -> Iterator[Item]:
    """Remove what was last used before ``before`` (epoch seconds) and can be spared; all that was looked at. Blocks.

    With ``dry_run`` nothing is removed.
    """
    yield from _jobs(settings, store, kinds, before, dry_run)
    yield from _logs(settings, store, kinds, before, dry_run)
    yield from _environments(settings, before, dry_run)


def _jobs(
    settings: Settings, store: Store, kinds: Mapping[str, JobKind], before: float, dry_run: bool
) -> Iterator[Item]:
    for kind in kinds.values():
        root = job_folder(settings, kind.name, "any").parent
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.is_symlink() or not folder.is_dir():
                continue
            if folder.name.startswith(_REMOVED):  # of one who was killed
                yield Item("job", folder, _size(folder))
                if not dry_run:
                    remove_tree(folder)
                continue
            record = store.get(kind.name, folder.name)
            why = _needed(kind, record, folder, before)
            size = _size(folder)
            if not why and record is not None and not dry_run and not _remove_job(folder, record):
                why = "another job has its name now"
            yield Item("job", folder, size, why)


def _needed(kind: JobKind, record: Record | None, folder: Path, before: float) -> str:
    """Why a job's folder must stay; empty when it need not."""
    if record is None:
        return "the store knows no job of this name"
    if not kind.status.ended(record.body):
        return "the job has not ended"
    for host in kind.hosts(record.body):
        for name in kind.results:
            # They are cleared away once they are in the bucket: what is here is not there.
            place = host_folder(folder, host) / name
            if _holds_anything(place):
                return f"its results are in no bucket: {place}"
    return _YOUNG if record.modified >= before else ""


def _holds_anything(place: Path) -> bool:
    try:
        return place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir())))
    except PermissionError:  # a job may take away the right to look: then nobody can say that it is empty
        return True


def _remove_job(folder: Path, record: Record) -> bool:
    """False where the folder is that of another job by now, which took the name while we looked."""
    away = folder.with_name(f"{_REMOVED}{uuid.uuid4().hex}")
    try:
        folder.rename(away)
    except FileNotFoundError:  # the job was deleted meanwhile, and its folder with it
        return True
    note = away / "created"
    if note.is_file() and note.read_text(errors="replace").strip() != mark(
        record.arn, record.body.get("CreationTime", record.created)
    ):
        away.rename(folder)
        return False
    remove_tree(away)
    return True


def _logs(
    settings: Settings, store: Store, kinds: Mapping[str, JobKind], before: float, dry_run: bool
) -> Iterator[Item]:
    groups = {kind.log_group: kind for kind in kinds.values()}
    root = settings.logs_root
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        group = unquote(folder.name)
        for path in sorted(folder.rglob("*.log")):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                continue
            why = _followed(group, groups.get(group), unquote(path.relative_to(folder).parts[0]), store)
            why = why or (_YOUNG if status.st_mtime >= before else "")
            if not why and not dry_run:
                path.unlink(missing_ok=True)
                _prune(path.parent, root)
            yield Item("log", path, status.st_size, why)


def _followed(group: str, kind: JobKind | None, first: str, store: Store) -> str:
    """Why a stream of ``group``, whose name begins with ``first``, must stay whatever its age."""
    if kind is not None:
        record = store.get(kind.name, first)
        return "its job has not ended" if record is not None and not kind.status.ended(record.body) else ""
    if group.startswith(_ENDPOINTS):
        return "its endpoint is there" if store.get("endpoint", group.removeprefix(_ENDPOINTS)) else ""
    return "it is neither a job's nor an endpoint's"


def _environments(settings: Settings, before: float, dry_run: bool) -> Iterator[Item]:
    environments = Environments(settings.environments_root)
    for one in environments.kept():
        why = _YOUNG if one.used >= before else ""
        if not why and not dry_run:
            try:
                environments.remove(one.key)
            except UsageError:
                why = "a job uses it"
        yield Item("environment", settings.environments_root / one.key, one.size, why)


def _prune(folder: Path, root: Path) -> None:
    """Remove folders that are empty now, up to ``root``."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # it holds other streams
            return
        folder = folder.parent


def _size(folder: Path) -> int:
    """In bytes, of all files below; what cannot be looked into counts for nothing."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(above, name)).st_size
            except OSError:
                continue
    return total
