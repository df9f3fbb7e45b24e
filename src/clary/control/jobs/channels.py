"""Input channels: which objects a channel holds, what their files are called, and the files themselves.

Names, as SageMaker has them (developer guide, "Access training data"):

- S3Prefix: every object whose key begins with the prefix, called by what follows it. A prefix that is a whole key is
  called by its last part; one that ends in the middle of a name keeps that name. A key ending in ``/`` is a folder.
- ManifestFile: ``[{"prefix": "s3://bucket/a/"}, "b.jpg", ...]``, called by the strings after the first element.
- S3Prefix with a ``file://`` URI, of local mode: the files below that folder, or the one file, where they lie.
- FileSystemDataSource: the files below the folder that clary.toml maps its id to (``resolved``).

ShuffleConfig changes the order in which a pipe is fed and nothing in a folder, so File mode does not look at it.
What a channel in Pipe mode sends is the matter of ``clary.control.jobs.pipe_plan``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clary.control.jobs.manifests import read_manifest
from clary.control.local_mode import FILES
from clary.control.objects.aws_buckets import remark
from clary.control.objects.base import NoSuchKey, Object, ObjectStore, S3Uri
from clary.control.objects.key_names import file_path
from clary.control.objects.machine_files import MACHINE, FileUri, place_of
from clary.control.wire.errors import ValidationException
from clary.errors import CustomerError
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel

__all__ = [
    "ChannelFile",
    "check",
    "copy_below",
    "described",
    "entries",
    "fill",
    "input_mode",
    "names",
    "resolved",
    "shard",
    "source_of",
    "supported",
]

DOWNLOADS = 16  # at a time, from a store that is not on this machine
KINDS = ("S3Prefix", "ManifestFile", "AugmentedManifestFile")

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChannelFile:
    """An object and the name of its file in the channel's folder, parts joined by ``/``; or a folder."""

    key: str
    name: str
    is_folder: bool = False


def input_mode(channel: Request, mode: str) -> str:
    """File, FastFile or Pipe: the channel's own InputMode, else ``mode``, the job's TrainingInputMode."""
    return str(channel.get("InputMode") or mode)


def source_of(channel: Request) -> Request:
    """The channel's S3DataSource, empty where it has none."""
    return channel.get("DataSource", {}).get("S3DataSource") or {}


def resolved(channel: Request, mode: str, filesystems: Mapping[str, Path]) -> Request:
    """The channel; one of a FileSystemDataSource with the S3DataSource that reads the folder it is mapped to.

    ``filesystems`` are clary.toml's. Raises CustomerError for an id that is not mapped, a folder that is not there or
    lies elsewhere, and a mode that file systems are not read in.
    """
    source = channel.get("DataSource", {}).get("FileSystemDataSource")
    if not source:
        return channel
    name, identity, directory = channel["ChannelName"], source["FileSystemId"], source["DirectoryPath"]
    root = filesystems.get(identity)
    if root is None:
        hint = f'add the line {identity} = "FOLDER" under [filesystems] in clary.toml, and start the platform again'
        raise CustomerError(f"the file system {identity} of the {name} channel is not mapped to a folder", hint=hint)
    # SageMaker's own rule (developer guide, "Access training data").
    if input_mode(channel, mode) != "File":
        raise CustomerError(f"the {name} channel reads a file system, which takes File mode only", hint="use File mode")
    root = root.resolve()
    folder = (root / directory.lstrip("/")).resolve()
    # By a link, or by `..`: the mapping allows this folder, and no other.
    if not folder.is_relative_to(root):
        raise CustomerError(f"{directory} of {identity} leads out of {root}", hint="put the files themselves there")
    if not folder.is_dir():
        hint = "make it, or name another DirectoryPath"
        raise CustomerError(f"there is no folder {folder} for {directory} of {identity}", hint=hint)
    s3 = {"S3DataType": "S3Prefix", "S3Uri": f"{FILES}{folder}", "S3DataDistributionType": "FullyReplicated"}
    return {**channel, "DataSource": {"S3DataSource": s3}}


def described(channel: Request, mode: str, folder: Path) -> Channel:
    """A channel of the request as inputdataconfig.json shows it. ``mode`` is the job's TrainingInputMode."""
    return Channel(
        name=channel["ChannelName"],
        path=folder,
        content_type=channel.get("ContentType") or "",
        input_mode=input_mode(channel, mode),
        distribution=source_of(channel).get("S3DataDistributionType") or "FullyReplicated",
        record_wrapper=channel.get("RecordWrapperType") or "None",
    )


def check(channel: Request, mode: str, objects: ObjectStore, *, role: str = "", region: str = "") -> None:
    """Refuse, when a job is created, a channel that cannot be had. Raises ValidationException in AWS's words.

    Blocks for as long as one listing takes.
    """
    try:
        uri = supported(channel, mode)
    except CustomerError as error:
        # SageMaker's words: programs look for the beginning, people search for the rest.
        raise ValidationException(str(error)) from error
    source = source_of(channel)
    if isinstance(uri, FileUri):
        if not _is_there(uri, objects, whole=False):
            raise ValidationException(f"the {channel['ChannelName']} channel: there is no file at {uri}")
        return
    # The URI of a manifest is that of one object.
    whole = source["S3DataType"] != "S3Prefix"
    there = objects.bucket_exists(uri.bucket)
    if not there or not _is_there(uri, objects, whole):
        raise ValidationException(
            f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure '
            f"that the bucket exists in the selected region ({region}), that objects exist under that S3 prefix, and "
            f'that the role "{role}" has "s3:ListBucket" permissions on bucket "{uri.bucket}"'
            f"{'' if there else remark(uri.bucket)}."
        )


def entries(channel: Request, mode: str, objects: ObjectStore) -> tuple[str, list[ChannelFile]]:
    """The bucket of a channel and all it holds, in key order, whatever host it is for.

    Raises CustomerError for a channel that cannot be used (nothing in it, a damaged manifest, names that clash),
    NoSuchBucket, NoSuchKey.
    """
    uri = supported(channel, mode)
    found: Iterable[ChannelFile]
    if source_of(channel)["S3DataType"] == "ManifestFile":
        bucket, found = _manifest(uri, objects)
    else:
        bucket, found = uri.bucket, names(objects.list(uri.bucket, uri.key), uri.key)
    held = list(_distinct(found, channel["ChannelName"]))
    if not held:
        raise CustomerError(
            f"the {channel['ChannelName']} channel holds no object: there is nothing under {uri}",
            hint="upload the data again, or name another prefix",
        )
    return bucket, held


def shard(held: Sequence[ChannelFile], host: int, hosts: int) -> list[ChannelFile]:
    """The part of host number ``host`` (from 0): the files in key order, the i-th to host i modulo ``hosts``.

    Every host gets all folders.
    """
    # Which host gets which key SageMaker does not document. This deals each file out once, and in every attempt alike.
    files = sorted((entry for entry in held if not entry.is_folder), key=lambda entry: os.fsencode(entry.key))
    return [*(entry for entry in held if entry.is_folder), *files[host::hosts]]


def fill(
    channel: Request,
    mode: str,
    folder: Path,
    objects: ObjectStore,
    *,
    host: int = 0,
    hosts: int = 1,
    linked: bool = True,
) -> int:
    """Make a channel's ``folder`` with all its files; returns how many. Blocks until every file is there.

    ``linked`` files may be hard links into the store, and the folder a link to one of this machine: the caller sees to
    it that nobody writes to them. Without it each file is a copy. Raises as ``entries`` does, and OSError.
    """
    bucket, held = entries(channel, mode, objects)
    here = objects.local or bucket == MACHINE
    if linked and bucket == MACHINE and hosts == 1 and held[0].key != (key := supported(channel, mode).key):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(f"/{key}")
        return len(held)
    if source_of(channel).get("S3DataDistributionType") == "ShardedByS3Key":
        held = shard(held, host, hosts)
    folder.mkdir(parents=True, exist_ok=True)
    _make_folders(folder, held)
    files = [entry for entry in held if not entry.is_folder]
    # A local store fetches by hard link: whoever wrote to one would write into the bucket.
    fetch = objects.fetch if linked or not here else _copier(objects)

    def one(entry: ChannelFile) -> None:
        try:
            fetch(bucket, entry.key, folder / entry.name)
        # It was there when the prefix was listed, a moment ago.
        except NoSuchKey as error:
            what = f"the {channel['ChannelName']} channel holds an object that does not exist any more"
            raise CustomerError(what, where=_uri(bucket, entry.key), hint="upload it again") from error

    _each(one, files, afar=not here)
    return len(files)


def _uri(bucket: str, key: str) -> S3Uri:
    return (FileUri if bucket == MACHINE else S3Uri)(bucket, key)


def copy_below(uri: S3Uri, folder: Path, objects: ObjectStore) -> int:
    """Copy every object below ``uri`` into ``folder``, which exists; returns how many. Raises as ``fill`` does."""
    # With its slash: the checkpoints of `job-1` are not those of `job-10`.
    below = uri.key.rstrip("/") + "/" if uri.key else ""
    held = list(_distinct(names(objects.list(uri.bucket, below), below), str(uri)))
    _make_folders(folder, held)
    files = [entry for entry in held if not entry.is_folder]
    # Copies in any case: the job goes on to write to its checkpoints, and through a link would change the bucket.
    copy = _copier(objects) if objects.local else objects.fetch
    _each(lambda entry: copy(uri.bucket, entry.key, folder / entry.name), files, afar=not objects.local)
    return len(files)


def names(objects: Iterable[Object], prefix: str) -> Iterator[ChannelFile]:
    """The entries of the objects found under ``prefix``. Raises CustomerError for a name that would lie elsewhere."""
    for found in objects:
        is_folder = found.key.endswith("/")
        if is_folder and found.size:
            raise CustomerError(f"the object `{found.key}` ends in a slash, so it cannot be a file", hint="rename it")
        name = _local_name(found.key, prefix)
        # Of the marker of the prefix itself nothing is left to call it; the channel's folder is there anyway.
        if name or not is_folder:
            yield ChannelFile(found.key, _safe(name, found.key), is_folder)


def _local_name(key: str, prefix: str) -> str:
    rest = key[len(prefix) :]
    if not prefix or prefix.endswith("/") or rest.startswith("/"):
        return rest
    # A prefix that ends within a name: what SageMaker does then is documented nowhere; here the name stays whole.
    return prefix.rpartition("/")[2] + rest


def _safe(name: str, key: str) -> str:
    """``name`` without empty parts. Raises CustomerError for one that would leave its folder or cannot be a file."""
    try:
        return file_path(name)
    except ValueError as error:
        what = f"the key `{key}` cannot be a file of a channel: {error}"
        raise CustomerError(what, hint="rename the object, or use Pipe mode") from error


def _distinct(found: Iterable[ChannelFile], channel: str) -> Iterator[ChannelFile]:
    """The same entries, the same object once. Raises CustomerError where two need the same place."""
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for entry in found:
        # A manifest may list an object twice.
        if files.get(entry.name) == entry.key:
            continue
        there = files.get(entry.name) or ("" if entry.is_folder else folders.get(entry.name))
        rival = there or _claim_above(entry, files, folders)
        if rival:
            what = f"two objects of the {channel} channel need the same file: `{rival}` and `{entry.key}`"
            raise CustomerError(what, hint="rename one of them")
        (folders if entry.is_folder else files)[entry.name] = entry.key
        yield entry


def _claim_above(entry: ChannelFile, files: Mapping[str, str], folders: dict[str, str]) -> str:
    """Note the folders above an entry; the key of a file that lies in the place of one of them."""
    path = entry.name
    while (path := path.rpartition("/")[0]) and path not in folders:
        if path in files:
            return files[path]
        folders[path] = entry.key
    return ""


def _manifest(uri: S3Uri, objects: ObjectStore) -> tuple[str, list[ChannelFile]]:
    base, listed = read_manifest(uri, objects)
    return base.bucket, [ChannelFile(base.key + one, _safe(one, base.key + one)) for one in listed]


def _is_there(uri: S3Uri, objects: ObjectStore, whole: bool) -> bool:
    """Whether there is an object whose key is the URI's (``whole``) or begins with it."""
    first = next(iter(objects.list(uri.bucket, uri.key)), None)
    return first is not None and (not whole or first.key == uri.key)


def supported(channel: Request, mode: str) -> S3Uri:
    """The channel's URI. Raises CustomerError for what cannot be had here or, as it is asked for, nowhere."""
    name, source, mode = channel["ChannelName"], source_of(channel), input_mode(channel, mode)
    if not source:
        raise CustomerError(f"the {name} channel has no S3DataSource", hint="put the data into a bucket")
    kind = source["S3DataType"]
    if kind not in KINDS:
        raise CustomerError(f"{kind} of the {name} channel is not supported", hint=f"use {' or '.join(KINDS)}")
    # SageMaker's own rule (developer guide, "Access training data"), though here any file could be had.
    if mode == "FastFile" and kind != "S3Prefix":
        raise CustomerError(f"FastFile mode of the {name} channel takes S3Prefix only", hint="use File or Pipe mode")
    if kind == "AugmentedManifestFile":
        _check_augmented(channel, mode)
    uri = place_of(source["S3Uri"])
    if isinstance(uri, FileUri) and (kind != "S3Prefix" or mode == "Pipe"):
        raise CustomerError(
            f"{kind} in {mode} mode of the {name} channel takes no files of this machine: {uri}",
            hint="use S3Prefix in File mode",
        )
    return uri


def _check_augmented(channel: Request, mode: str) -> None:
    what = f"AugmentedManifestFile of the {channel['ChannelName']} channel"
    # SageMaker's own rule too (developer guide, "Augmented manifest files").
    if mode != "Pipe":
        hint = f"set InputMode, or send its folder as S3Prefix with the content type {DATASET_CONTENT_TYPE}"
        raise CustomerError(f"{what} can only be used if the channel's input mode is Pipe", hint=hint)
    if not source_of(channel).get("AttributeNames"):
        hint = 'name what is sent of each line, the picture first: ["source-ref", "class"]'
        raise CustomerError(f"{what} has no AttributeNames", hint=hint)
    if channel.get("CompressionType") == "Gzip":
        raise CustomerError(f"{what} has the CompressionType Gzip, which is not supported", hint="leave it out")


def _make_folders(root: Path, held: Iterable[ChannelFile]) -> None:
    needed = {entry.name if entry.is_folder else entry.name.rpartition("/")[0] for entry in held}
    for name in sorted(needed - {""}):
        (root / name).mkdir(parents=True, exist_ok=True)


def _copier(objects: ObjectStore) -> Callable[[str, str, Path], None]:
    def copy(bucket: str, key: str, path: Path) -> None:
        with objects.open(bucket, key) as source, path.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    return copy


def _each(work: Callable[[ChannelFile], None], files: Sequence[ChannelFile], *, afar: bool) -> None:
    """``work`` on every file, several at a time where the objects come from afar; the first error ends it."""
    if not afar:
        for entry in files:
            work(entry)
        return
    # The first error counts; what has not begun by then is not fetched for nothing.
    with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download") as pool:
        try:
            for _ in pool.map(work, files):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
