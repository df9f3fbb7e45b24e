"""A copy of a home, made while a gateway may run on it; and a home made of such a copy.

    BACKUP/                       a home: `clary up --home BACKUP` would start on it
    ├── clary.db, credentials.json, clary.toml, trials.json
    ├── s3/<bucket>/<key>         with what is kept of each object
    ├── jobs/<job>/               of jobs that have ended
    └── logs/

Left out is what is made again when it is asked for: environments, unpacked models, sockets. It appears whole or not at
all. The store is of one moment, and the objects are at least as new: what the store says is stored is there. A job
that has not ended at that moment is failed in the copy, since half of its folder would be worth nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from clary.control import home as homes
from clary.control.configuration import FILE
from clary.control.jobs.folders import job_folder
from clary.control.jobs.job_lifecycle import entered
from clary.control.jobs.kind import JobKind
from clary.control.jobs.status import Stage
from clary.control.objects.cloning import clone_open
from clary.control.settings import Settings
from clary.control.store.records import Record, Store
from clary.errors import UsageError
from clary.vision.base.files import PRIVATE_FOLDER, atomic_folder

__all__ = ["back_up", "restore"]

_FILES = ("credentials.json", FILE, "trials.json")
_STAGING = ".staging"  # of the objects: what is on its way
_REASON = "InternalServerError: the home was backed up while the job ran; run it again"


def back_up(settings: Settings, to: Path, kinds: Mapping[str, JobKind]) -> None:
    """Copy the home of ``settings`` to the folder ``to``, which is not there or empty. Blocks.

    Raises UsageError for a home without a store of its own, and for a disk that is full or cannot keep what belongs to
    objects.
    """
    database = settings.home / "clary.db"
    if not database.is_file():
        hint = "back up a PostgreSQL store with pg_dump" if settings.home.is_dir() else "name the home with --home"
        raise UsageError("there is no clary.db", where=settings.home, hint=hint)
    _refuse_within(settings.home, to, "home")
    with atomic_folder(to, durable=True) as made:
        made.chmod(PRIVATE_FOLDER)
        copied = Settings(home=made)
        # Once before the store is copied, which takes long, and once behind it, for what came meanwhile.
        _copy_tree(settings.s3_root, copied.s3_root)
        _copy_store(database, made / "clary.db")
        _copy_tree(settings.s3_root, copied.s3_root)
        with closing(Store(copied.database)) as store:
            for kind in kinds.values():
                _end_open_jobs(store, kind)
                for record in store.select(kind.name):
                    folder = job_folder(settings, kind.name, record.name)
                    if record.body.get("FailureReason") != _REASON:
                        _copy_tree(folder, job_folder(copied, kind.name, record.name))
        _copy_tree(settings.logs_root, copied.logs_root)
        for name in _FILES:
            with suppress(FileNotFoundError):
                _copy_file(settings.home / name, made / name)


def restore(backup: Path, to: Path) -> None:
    """Make the home ``to``, which is not there or empty, of a backup. Blocks.

    Raises UsageError for a folder that is no backup, a home that is in use, and a disk that is full.
    """
    if not (backup / "clary.db").is_file():
        raise UsageError("is no backup of a home", where=backup, hint="name a folder that `clary backup` made")
    if homes.held(backup):
        raise UsageError("a gateway uses it", where=backup, hint="stop it with `clary down`")
    _refuse_within(backup, to, "backup")
    with atomic_folder(to, durable=True) as made:
        _copy_tree(backup, made)
        made.chmod(PRIVATE_FOLDER)


def _refuse_within(source: Path, to: Path, what: str) -> None:
    """The copy would be copied into itself, until its names are too long."""
    if to.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"lies in the {what} itself", where=to, hint="choose a folder outside, on another disk say")


def _copy_store(source: Path, target: Path) -> None:
    """As it is at one moment, whoever writes to it meanwhile (SQLite's backup API)."""
    with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(target)) as writer:
        reader.backup(writer)


def _end_open_jobs(store: Store, kind: JobKind) -> None:
    def change(record: Record) -> tuple[dict[str, Any], str]:
        return entered(kind, record.body, "ended", Stage.FAILED, FailureReason=_REASON)

    for record in store.select(kind.name, kind.status.open):
        store.edit(kind.name, record.name, change)


def _copy_tree(source: Path, target: Path) -> None:
    """Files and folders of ``source``, with their times and attributes, into ``target``; what is there as it is, stays.

    What vanishes meanwhile is left out, and so are links and all that is neither file nor folder.
    """
    try:
        entries = sorted(os.scandir(source), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not target.is_dir():
        target.unlink(missing_ok=True)  # a key that was an object has become the folder of others meanwhile
    target.mkdir(exist_ok=True, parents=True)
    for entry in entries:
        place = target / entry.name
        with suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False):
                if entry.name != _STAGING:
                    _copy_tree(Path(entry.path), place)
            elif entry.is_file(follow_symlinks=False):
                _copy_file(Path(entry.path), place)
    with suppress(FileNotFoundError):
        _copy_attributes(source, target)


def _copy_file(source: Path, target: Path) -> None:
    status = source.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or _is_copy(target, status):
        return
    if target.is_dir():
        shutil.rmtree(target)
    # What an earlier look has copied may have attributes that this one has not.
    target.unlink(missing_ok=True)
    # Opened once: an object that is written meanwhile is another file, whose ETag is none of these bytes.
    opened = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        clone_open(opened, target)
        _copy_attributes(opened, target)
    finally:
        os.close(opened)


def _is_copy(target: Path, status: os.stat_result) -> bool:
    try:
        there = target.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _copy_attributes(source: Path | int, target: Path) -> None:
    """Rights, extended attributes, in which objects have their metadata, and times, by which those are known."""
    for name in os.listxattr(source) if hasattr(os, "listxattr") else ():
        if not name.startswith("user."):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
                hint = "choose another disk: what belongs to objects would be lost"
                raise UsageError("its disk keeps no extended attributes", where=target.parent, hint=hint) from error
            raise
    status = os.stat(source)
    target.chmod(stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
