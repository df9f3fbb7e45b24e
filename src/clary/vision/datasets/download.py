"""The Oxford-IIIT Pet set from its official archives: fetch, verify, unpack.

O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar, *Cats and Dogs*, CVPR 2012; licence CC BY-SA 4.0. The MD5 sums
are those torchvision's ``OxfordIIITPet`` checks.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clary.errors import DataError, UsageError
from clary.vision.base import tarsafe
from clary.vision.base.files import atomic_folder
from clary.vision.datasets.transfer import PAUSES, Progress, TransferError, download, read_small

__all__ = ["ADDRESSES", "ARCHIVES", "fetch_oxford_pets"]

# The second is the one torchvision asks.
ADDRESSES = ("https://thor.robots.ox.ac.uk/datasets/pets/", "https://www.robots.ox.ac.uk/~vgg/data/pets/data/")
CHECKSUMS = "SHA256SUMS"  # beside the archives; lines as sha256sum writes them

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """One of the official archives: its name, the folder it holds, its MD5 sum, and what it may hold at the most."""

    name: str
    folder: str
    md5: str
    limits: tarsafe.Limits

    def allows(self, name: PurePosixPath) -> bool:
        """Only what lies in its folder; and ``._*`` beside it, which another operating system left there."""
        return name.parts[0] == self.folder or (len(name.parts) == 1 and name.name.startswith("._"))


ARCHIVES = (
    Archive(
        "annotations.tar.gz",
        "annotations",
        "95a8c909bbe2e81eed6a22bccdf3f68f",
        tarsafe.Limits(60_000, 1 << 26, 1 << 31),
    ),
    Archive("images.tar.gz", "images", "5c4f3ee8e5d25df40f4fd59a7f44e54c", tarsafe.Limits(60_000, 1 << 27, 1 << 32)),
)


def fetch_oxford_pets(
    directory: Path,
    source: str | None = None,
    progress: Progress | None = None,
    *,
    keep_archives: bool = False,
    note: Callable[[str], object] | None = None,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """Put the set into ``directory`` (``images/`` and ``annotations/``), whole or not at all; return ``directory``.

    ``source`` is another address that has the two archives, a folder that has them, or a folder that has the set
    already unpacked; None means the official addresses. A download that breaks goes on where it stopped, in this run
    (after ``pauses`` seconds) or the next. ``progress`` gets what is done, the bytes so far and the bytes in all.
    With ``keep_archives`` downloaded archives stay beside ``images/``.

    The archives must have the official checksums; those of another ``source`` may have the ones its SHA256SUMS
    names, or any at all, which ``note`` (or the log) is told.

    A directory that holds the set already is left as it is. Raises UsageError (the directory holds something else,
    no such source, network, disk full) and DataError (damaged or unsafe archive, wrong checksum).
    """
    directory = Path(directory)
    if _is_set(directory):
        return directory
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError("is there already and not empty", where=directory, hint="name a new folder")
    note = note or _log.warning
    if source is None or source.startswith(("http://", "https://")):
        _fetch(directory, source, progress, keep_archives, note, pauses)
    else:
        _take(directory, Path(source), progress, note)
    return directory


def _is_set(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "annotations" / "list.txt").is_file()


# From a folder


def _take(directory: Path, folder: Path, progress: Progress | None, note: Callable[[str], object]) -> None:
    if _is_set(folder):
        _copy(folder, directory, progress)
        return
    missing = [one.name for one in ARCHIVES if not (folder / one.name).is_file()]
    if missing:
        what = f"has neither images/ and annotations/list.txt nor {' and '.join(missing)}"
        hint = f"put {' and '.join(one.name for one in ARCHIVES)} there"
        raise UsageError(what if folder.is_dir() else "is no folder", where=folder, hint=hint)
    sums = folder / CHECKSUMS
    known = _parse_sums(sums.read_bytes(), sums) if sums.is_file() else {}
    for archive in ARCHIVES:
        _verify(folder / archive.name, archive, known, note)
    _unpack(folder, directory, progress)


def _copy(folder: Path, directory: Path, progress: Progress | None) -> None:
    with atomic_folder(directory) as target:
        for name in ("annotations", "images"):
            count = _Count(f"copying {name}", progress)
            for path in sorted((folder / name).rglob("*")):
                if path.is_file():
                    place = target / path.relative_to(folder)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, place)
                    count(place.stat().st_size)
            count.end()


# From an address


def _fetch(
    directory: Path,
    source: str | None,
    progress: Progress | None,
    keep_archives: bool,
    note: Callable[[str], object],
    pauses: Sequence[float],
) -> None:
    # Beside the directory: what is unpacked is renamed into place, and that is one step within a file system only.
    waiting = directory.parent / f".{directory.name}.download"  # where a broken download waits for the next run
    try:
        waiting.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=waiting, hint="name another folder") from error
    try:
        _collect(waiting, source, progress, note, pauses)
        _unpack_once(waiting, directory, progress)
    finally:
        # A part that waits for the next run keeps the folder.
        if not any(waiting.iterdir()):
            waiting.rmdir()
    if keep_archives:
        for archive in ARCHIVES:
            (waiting / archive.name).replace(directory / archive.name)
    shutil.rmtree(waiting)


def _collect(
    waiting: Path,
    source: str | None,
    progress: Progress | None,
    note: Callable[[str], object],
    pauses: Sequence[float],
) -> None:
    """Have both archives in ``waiting``, their checksums right; one that is wrong is removed."""
    addresses = ADDRESSES if source is None else (source if source.endswith("/") else source + "/",)
    sums = None if source is None else read_small(addresses[0] + CHECKSUMS)
    known = _parse_sums(sums, addresses[0] + CHECKSUMS) if sums else {}
    for archive in ARCHIVES:
        target = waiting / archive.name
        if not target.exists():
            _download_from_any(addresses, archive, target, progress, pauses)
        try:
            _verify(target, archive, known, note, official=source is None)
        except DataError:
            # Else the next run would find the wrong file, and fail again without asking the server.
            target.unlink()
            raise


def _unpack_once(waiting: Path, directory: Path, progress: Progress | None) -> None:
    """Unpack what was fetched; archives that cannot be unpacked are removed, to be fetched again by the next run."""
    try:
        _unpack(waiting, directory, progress)
    except DataError:
        for archive in ARCHIVES:
            (waiting / archive.name).unlink()
        raise


def _download_from_any(
    addresses: Sequence[str], archive: Archive, target: Path, progress: Progress | None, pauses: Sequence[float]
) -> None:
    """Ask one address after the other until one answers; the error of the last one stands for all."""
    for address in addresses:
        try:
            download(address + archive.name, target, progress, pauses=pauses)
        except TransferError as error:
            # Not to the next address once a part is here: that part belongs to this one.
            if address != addresses[-1] and not error.resumable:
                continue
            names = " and ".join(one.name for one in ARCHIVES)
            hint = f"{error.hint}; or fetch {names} by hand and give their folder with --from"
            raise TransferError(error.what, where=error.where, hint=hint, status=error.status) from error
        return


# Verifying and unpacking


def _parse_sums(data: bytes, where: object) -> dict[str, str]:
    """Name to SHA-256, from lines as ``sha256sum`` writes them. Raises DataError."""
    known = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        digest, _, name = line.strip().partition(" ")
        if not line.strip():
            continue
        if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef") or not name.strip():
            hint = "each line is a SHA-256 sum, two spaces and a name"
            raise DataError("is no line of checksums", where=f"{where}:{number}", hint=hint)
        known[name.strip().removeprefix("*").removeprefix("./")] = digest.lower()
    return known


def _verify(
    path: Path,
    archive: Archive,
    known: dict[str, str],
    note: Callable[[str], object],
    *,
    official: bool = False,
) -> None:
    """Raises DataError where ``path`` has not the checksum it ought to have; notes where none is known."""
    expected = known.get(archive.name)
    # A sum that the source names itself goes before the official one: a mirror may have packed the files anew.
    if expected:
        found = _digest(path, "sha256")
        if found != expected:
            raise _mismatch(path, f"SHA-256 {found}, {CHECKSUMS} says {expected}")
        return
    found = _digest(path, "md5")
    if found == archive.md5:
        return
    if official:
        raise _mismatch(path, f"MD5 {found}, not {archive.md5}")
    note(f"{path.name}: is not the official archive (MD5 {found}), and no {CHECKSUMS} vouches for it; used as it is")


def _digest(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=path, hint="check its permissions") from error


def _mismatch(path: Path, what: str) -> DataError:
    return DataError(f"is damaged or not what it should be ({what})", where=path.name, hint="fetch it again")


def _unpack(folder: Path, directory: Path, progress: Progress | None) -> None:
    """Unpack both archives of ``folder`` into ``directory``, which appears when both are there."""
    with atomic_folder(directory) as target:
        for archive in ARCHIVES:
            count = _Count(f"unpacking {archive.name}", progress)
            tarsafe.extract(folder / archive.name, target, archive.limits, allow=archive.allows, progress=count)
            count.end()
        # The official archives hold them, left by the system they were packed on.
        for extra in target.glob("._*"):
            extra.unlink()
        if not _is_set(target):
            what = "unpacked, there is no images/ or no annotations/list.txt"
            raise DataError(what, where=folder, hint="fetch the archives again")


class _Count:
    """Adds up bytes and tells how many there are so far."""

    def __init__(self, what: str, progress: Progress | None) -> None:
        self._what = what
        self._progress = progress
        self._done = 0

    def __call__(self, size: int) -> None:
        self._done += size
        if self._progress:
            self._progress(self._what, self._done, None)

    def end(self) -> None:
        if self._progress:
            self._progress(self._what, self._done, self._done)
