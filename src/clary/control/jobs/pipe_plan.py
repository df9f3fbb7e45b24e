"""What a channel in Pipe mode sends: its objects one after another, or the records of an augmented manifest.

What there is to send is settled before the program starts, in HOME/jobs/<job>/pipes/<channel>: a line for each item,
which is the key of an object as JSON, or a line of the augmented manifest. Of the objects themselves one piece at a
time is in memory, or one object where each becomes a record.

- ShuffleConfig puts the items in another order in every epoch; ShardedByS3Key then gives host i every n-th of them.
- CompressionType Gzip sends what the objects hold. RecordWrapperType RecordIO makes each object, and each attribute of
  an augmented manifest, a record.
- An attribute whose name ends in ``-ref`` is the address of an object, which is sent; any other is sent as JSON.

Source: SageMaker API reference, Channel and S3DataSource; developer guide, "Augmented manifest files".
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from clary.control.jobs.channels import Request, source_of, supported
from clary.control.jobs.manifests import read_manifest
from clary.control.objects.base import NoSuchBucket, NoSuchKey, ObjectStore, S3Uri
from clary.control.wire.errors import ValidationException
from clary.errors import CustomerError, DataError, one_line
from clary.vision.base.files import private_folder
from clary.vision.base.recordio import LIMIT, frame
from clary.vision.base.tarsafe import RATIO, RATIO_FROM

__all__ = ["PipePlan", "Sender", "plan"]

CHUNK = 1 << 20  # bytes of an object in memory
LINE_BYTES = 16 << 20  # of an augmented manifest: hundreds of thousands of boxes

Part = S3Uri | bytes  # an object to send, or what to send itself


@dataclass(frozen=True, slots=True)
class PipePlan:
    """How one channel is sent to one host."""

    channel: str
    items: Path  # the file of lines
    source: str  # s3://bucket/ of the keys, or the address of the augmented manifest
    attributes: tuple[str, ...] = ()  # AttributeNames; none where the lines are keys
    wrapped: bool = False  # in RecordIO
    zipped: bool = False
    seed: int | None = None  # of ShuffleConfig
    host: int = 0  # the share of host number ``host`` of ``hosts``
    hosts: int = 1

    def to_json(self) -> dict[str, Any]:
        """As launch.json has it."""
        return asdict(self) | {"items": str(self.items)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PipePlan:
        """Raises KeyError or TypeError for anything ``to_json`` did not write."""
        return cls(**{**value, "items": Path(value["items"]), "attributes": tuple(value["attributes"])})


def plan(channel: Request, folder: Path, objects: ObjectStore, *, host: int = 0, hosts: int = 1) -> PipePlan:
    """Settle what a channel in Pipe mode sends, in a file in ``folder``. Blocks for as long as a listing takes.

    Every line of an augmented manifest is looked at, none of the objects. Raises CustomerError for a channel that
    holds nothing, DataError naming the line or element that cannot be used, NoSuchBucket, NoSuchKey.
    """
    uri = supported(channel, "Pipe")
    source = source_of(channel)
    private_folder(folder)
    items = folder / channel["ChannelName"]
    augmented = source["S3DataType"] == "AugmentedManifestFile"
    if augmented:
        objects.fetch(uri.bucket, uri.key, items)
    else:
        uri = _write_keys(uri, source["S3DataType"], items, objects)
    sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
    pipe = PipePlan(
        channel=channel["ChannelName"],
        items=items,
        source=str(uri),
        attributes=tuple(source["AttributeNames"]) if augmented else (),
        wrapped=channel.get("RecordWrapperType") == "RecordIO",
        zipped=channel.get("CompressionType") == "Gzip",
        seed=channel["ShuffleConfig"]["Seed"] if channel.get("ShuffleConfig") else None,
        host=host if sharded else 0,
        hosts=hosts if sharded else 1,
    )
    _check(pipe, objects, S3Uri.parse(source["S3Uri"]))
    return pipe


class Sender:
    """The bytes of a channel in Pipe mode, epoch by epoch. Not to be used by two threads at once."""

    def __init__(self, pipe: PipePlan, objects: ObjectStore) -> None:
        """Raises OSError when the file of lines is not there, DataError for a line beyond all reason."""
        self._pipe = pipe
        self._objects = objects
        self._source = S3Uri.parse(pipe.source)
        self._lines = _Lines(pipe.items)

    def __len__(self) -> int:
        """How many items there are, for all hosts together."""
        return len(self._lines)

    def close(self) -> None:
        self._lines.close()

    def order(self, epoch: int) -> array[int]:
        """The items of an epoch for this host, as numbers from 0 in the order of the lines."""
        # Eight bytes an item; a list of a million integers takes five times as much.
        numbers = array("Q", range(len(self._lines)))
        if self._pipe.seed is not None:
            # Text as a seed goes through SHA-512: hosts, attempts and later epochs of a resumed job agree on the order.
            random.Random(f"{self._pipe.seed} {epoch}").shuffle(numbers)
        # Dealt out after the shuffle, which is the same for all hosts: together they send each item once.
        return numbers[self._pipe.host :: self._pipe.hosts]

    def epoch(self, number: int) -> Iterator[bytes]:
        """All that epoch ``number`` (from 0) sends, piece by piece.

        Raises DataError naming the object or line that cannot be sent, ServiceError and OSError of the store.
        """
        for item in self.order(number):
            where, parts = self.parts(item)
            for part in parts:
                yield from self._sent(part, where)

    def parts(self, item: int) -> tuple[str, list[Part]]:
        """What an item is called in a message, and what is sent of it, in order. Raises DataError as ``epoch`` does."""
        number, line = self._lines[item]
        if not self._pipe.attributes:
            uri = S3Uri(self._source.bucket, json.loads(line))
            return str(uri), [uri]
        where = f"{self._pipe.source}:{number}"
        value = _parsed(line, where)
        return where, [_part(value, name, where) for name in self._pipe.attributes]

    def _sent(self, part: Part, where: str) -> Iterator[bytes]:
        if isinstance(part, bytes):
            yield frame(part) if self._pipe.wrapped else part
            return
        with self._opened(part, where) as stream:
            read = _unzipping(stream, part) if self._pipe.zipped else stream.read
            if not self._pipe.wrapped:
                while piece := read(CHUNK):
                    yield piece
                return
            yield _record(read, part)

    def _opened(self, uri: S3Uri, where: str) -> BinaryIO:
        try:
            return self._objects.open(uri.bucket, uri.key)
        except (NoSuchBucket, NoSuchKey) as error:
            named = "" if where == str(uri) else f"names {one_line(str(uri))}, "
            what = f"{named}an object of the {self._pipe.channel} channel that does not exist"
            raise DataError(what, where=where, hint="upload it, or leave it out") from error


class _Lines:
    """The lines of a file that are not blank, with their numbers from 1; 16 bytes of memory for each."""

    def __init__(self, path: Path) -> None:
        """Raises DataError for a line beyond all reason."""
        self._offsets, self._numbers = array("Q"), array("Q")
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES), b""), start=1):
                if len(line) == LINE_BYTES:
                    what = f"line {number} is longer than {LINE_BYTES >> 20} MiB"
                    raise DataError(what, where=path.name, hint="a line is one JSON object by itself")
                if line.strip():
                    self._offsets.append(offset)
                    self._numbers.append(number)
                offset += len(line)
        self._file = path.open("rb")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> tuple[int, bytes]:
        self._file.seek(self._offsets[index])
        return self._numbers[index], self._file.readline(LINE_BYTES)

    def close(self) -> None:
        self._file.close()


def _write_keys(uri: S3Uri, kind: str, items: Path, objects: ObjectStore) -> S3Uri:
    """Write the keys of the objects, in order, a line for each; returns their bucket. Folders send nothing."""
    if kind == "ManifestFile":
        base, listed = read_manifest(uri, objects)
        keys: Iterator[str] = (base.key + one for one in listed if not one.endswith("/"))
    else:
        base = uri
        # An object with bytes is no folder, whatever its key ends in.
        found = objects.list(uri.bucket, uri.key)
        keys = (each.key for each in found if each.size or not each.key.endswith("/"))
    with items.open("w", encoding="utf-8") as file:
        # As JSON, since a key may hold a line end.
        file.writelines(f"{json.dumps(key)}\n" for key in keys)
    return S3Uri(base.bucket, "")


def _check(pipe: PipePlan, objects: ObjectStore, uri: S3Uri) -> None:
    sender = Sender(pipe, objects)
    try:
        if not len(sender):
            what, hint = f"the {pipe.channel} channel sends nothing: there is nothing in {uri}", "upload the data again"
            raise CustomerError(what, hint=hint)
        # Now, in the minute of the start: a bad line would otherwise end the job when its turn comes.
        for item in range(len(sender) if pipe.attributes else 0):
            sender.parts(item)
    finally:
        sender.close()


def _parsed(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        # -sig: some editors begin a file with a byte order mark.
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({error})", where=where, hint="a line is one JSON object by itself") from error
    if not isinstance(value, dict):
        raise DataError(f"is a JSON {type(value).__name__}, not an object", where=where, hint="mend the line")
    return value


def _part(line: Mapping[str, Any], name: str, where: str) -> Part:
    """What is sent of the attribute ``name``. Raises DataError where the line has none, or no address in it."""
    if name not in line:
        has = ", ".join(f"`{key}`" for key in list(line)[:6]) or "nothing"
        what = f"has no attribute `{name}`, which AttributeNames lists; it has {has}"
        raise DataError(what, where=where, hint="mend the line or AttributeNames")
    value = line[name]
    if not name.endswith("-ref"):
        return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace")
    try:
        uri = S3Uri.parse(value if isinstance(value, str) else json.dumps(value))
    except ValidationException as error:
        what = f"the attribute `{name}` holds no S3 URI: {error.message}"
        raise DataError(what, where=where, hint="write s3://bucket/key") from error
    if not uri.key:
        raise DataError(f"the attribute `{name}` names a bucket, no object: {value}", where=where, hint="add the key")
    return uri


def _record(read: Callable[[int], bytes], uri: S3Uri) -> bytes:
    """All there is to read as one record. Raises DataError for what is too long for one."""
    pieces, size = [], 0
    # Whole in memory: a record begins with its length, which a stream that is unzipped tells only in the end.
    while size < LIMIT and (piece := read(CHUNK)):
        pieces.append(piece)
        size += len(piece)
    if size >= LIMIT:
        raise DataError("is too long for a record", where=uri, hint=f"RecordIO takes fewer than {LIMIT:,} bytes")
    return frame(b"".join(pieces))


def _unzipping(stream: BinaryIO, uri: S3Uri) -> Callable[[int], bytes]:
    """``read`` of what a gzip file holds; it raises DataError for one that is damaged, or a bomb."""
    packed = _Counted(stream)
    file = gzip.GzipFile(fileobj=packed, mode="rb")  # type: ignore[call-overload]  # it asks for read() alone

    def read(size: int) -> bytes:
        try:
            data: bytes = file.read(size)
            # The stream is kept on disk at the other end, which one of zeros would fill.
            if (unpacked := file.tell()) > max(RATIO_FROM, RATIO * packed.count):
                what = f"unpacks to {unpacked:,} bytes and more, over {RATIO} times its size"
                raise DataError(what, where=uri, hint="leave it out")
            return data
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            what = f"is no whole gzip file ({error}), which CompressionType Gzip asks for"
            raise DataError(what, where=uri, hint="compress it again, or leave CompressionType out") from error

    return read


class _Counted:
    """A stream that counts the bytes that were read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data
