"""What a channel in Pipe mode sends, in which order, and what it says of items that cannot be sent."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clary.control.jobs import channels, pipe_plan
from clary.control.jobs.pipe_plan import PipePlan, Sender, plan
from clary.control.objects.local import LocalStore
from clary.control.wire.errors import ServiceError
from clary.errors import CustomerError, DataError
from clary.vision.base.jobdir import JobDir
from clary.vision.base.recordio import frame, read_records
from clary.vision.base.types import Blob, Box, Dataset, Sample, SplitName
from clary.vision.datasets.channels import load as read_job
from clary.vision.formats import FORMATS
from clary.vision.formats._masks import mask_png

NAMES = ["source-ref", "class"]


@pytest.fixture
def sent(objects, tmp_path):
    """``sent(channel, epoch=0, host=0, hosts=1)``: the bytes of an epoch."""

    def send(channel, epoch: int = 0, **share: int) -> bytes:
        with closing(Sender(plan(channel, tmp_path / "pipes", objects, **share), objects)) as sender:
            return b"".join(sender.epoch(epoch))

    return send


@pytest.fixture
def augmented(make_channel, upload):
    """``augmented([{...}, ...], names, **members)``: a channel of a manifest with these lines."""

    def make(lines: list[object] | bytes, names=tuple(NAMES), distribution="", **members):
        data = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        upload({"lists/train.manifest": data})
        members = {"RecordWrapperType": "RecordIO"} | members
        uri = "s3://bucket/lists/train.manifest"
        channel = make_channel("train", uri, "AugmentedManifestFile", distribution, **members)
        channel["DataSource"]["S3DataSource"]["AttributeNames"] = list(names)
        return channel

    return make


def records(data: bytes) -> list[bytes]:
    return list(read_records(io.BytesIO(data)))


class TestObjects:
    def test_a_prefix_one_after_another_in_key_order(self, sent, upload, make_channel):
        upload({"data/b": b"2", "data/a": b"1", "data/c/d": b"3", "data/c/": b"", "data/empty": b"", "datum": b"x"})
        assert sent(make_channel("train", "s3://bucket/data/")) == b"123"

    def test_a_manifest_in_its_own_order_and_as_often(self, sent, upload, make_channel):
        upload({"data/a": b"1", "data/b": b"2", "list": b'[{"prefix": "s3://bucket/data/"}, "b", "a", "b"]'})
        assert sent(make_channel("train", "s3://bucket/list", "ManifestFile")) == b"212"

    def test_each_wrapped_as_a_record(self, sent, upload, make_channel):
        tricky = b"1234" + frame(b"")  # holds the magic
        upload({"data/a": tricky, "data/b": b"", "data/c": b"xyz"})
        data = sent(make_channel("train", "s3://bucket/data/", RecordWrapperType="RecordIO"))
        assert records(data) == [tricky, b"", b"xyz"]
        assert data == frame(tricky) + frame(b"") + frame(b"xyz")

    def test_large_ones_come_in_pieces(self, objects, upload, make_channel, tmp_path):
        upload({"data/a": bytes(3 * pipe_plan.CHUNK + 5)})
        with closing(Sender(plan(make_channel("t", "s3://bucket/data/a"), tmp_path, objects), objects)) as sender:
            assert [len(piece) for piece in sender.epoch(0)] == [pipe_plan.CHUNK] * 3 + [5]

    @pytest.mark.parametrize(
        ("wrapper", "data"),
        [("None", b"onetwo"), ("RecordIO", frame(b"one") + frame(b"two"))],
        ids=["plain", "records"],
    )
    def test_gzip_is_taken_off(self, sent, upload, make_channel, wrapper, data):
        upload({"data/a.gz": gzip.compress(b"one"), "data/b.gz": gzip.compress(b"two")})
        given = {"CompressionType": "Gzip", "RecordWrapperType": wrapper}
        assert sent(make_channel("train", "s3://bucket/data/", **given)) == data

    @pytest.mark.parametrize("damaged", [b"no gzip", gzip.compress(b"one" * 99)[:-9], gzip.compress(b"x")[:10] + b"!!"])
    def test_what_is_no_gzip(self, sent, upload, make_channel, damaged):
        upload({"data/a.gz": damaged})
        with pytest.raises(DataError, match=r"^s3://bucket/data/a\.gz: is no whole gzip file"):
            sent(make_channel("train", "s3://bucket/data/", CompressionType="Gzip"))

    def test_a_bomb(self, sent, upload, make_channel, monkeypatch):
        upload({"data/a.gz": gzip.compress(bytes(4 << 20))})
        given = make_channel("train", "s3://bucket/data/", CompressionType="Gzip")
        assert len(sent(given)) == 4 << 20  # so little can do no harm
        monkeypatch.setattr(pipe_plan, "RATIO_FROM", 1 << 20)
        with pytest.raises(
            DataError, match=r"^s3://bucket/data/a\.gz: unpacks to [0-9,]+ bytes and more, over 100 times"
        ):
            sent(given)

    def test_an_object_too_long_for_a_record(self, sent, upload, make_channel, monkeypatch):
        monkeypatch.setattr(pipe_plan, "LIMIT", 100)
        upload({"data/a": bytes(99)})
        assert len(sent(make_channel("train", "s3://bucket/data/a", RecordWrapperType="RecordIO"))) == 108
        upload({"data/a": bytes(100)})
        with pytest.raises(DataError, match=r"^s3://bucket/data/a: is too long for a record"):
            sent(make_channel("train", "s3://bucket/data/a", RecordWrapperType="RecordIO"))

    def test_an_object_that_went_away(self, objects, upload, make_channel, tmp_path):
        upload({"data/a": b"1", "data/b": b"2"})
        with closing(Sender(plan(make_channel("train", "s3://bucket/data/"), tmp_path, objects), objects)) as sender:
            (objects.root / "bucket/data/b").unlink()
            pieces = sender.epoch(0)
            assert next(pieces) == b"1"
            with pytest.raises(DataError, match=r"^s3://bucket/data/b: an object of the train channel that does not"):
                next(pieces)

    def test_nothing_to_send(self, sent, upload, make_channel):
        upload({"data/": b"", "list": b'[{"prefix": "s3://bucket/data/"}]'})
        for uri, kind in (("s3://bucket/data/", "S3Prefix"), ("s3://bucket/list", "ManifestFile")):
            with pytest.raises(CustomerError, match=f"the train channel sends nothing: there is nothing in {uri}"):
                sent(make_channel("train", uri, kind))
        with pytest.raises(ServiceError, match="nowhere"):
            sent(make_channel("train", "s3://nowhere/x"))


class TestOrder:
    def letters(self, upload, make_channel, distribution="", **members):
        upload({f"data/{letter}": letter.encode() for letter in "abcdefghij"})
        return make_channel("train", "s3://bucket/data/", distribution=distribution, **members)

    def test_the_same_in_every_epoch_without_a_shuffle(self, sent, upload, make_channel):
        channel = self.letters(upload, make_channel)
        assert [sent(channel, epoch) for epoch in range(3)] == [b"abcdefghij"] * 3

    def test_a_shuffle_is_another_one_in_each_epoch_and_for_each_seed(self, sent, upload, make_channel):
        orders = [
            sent(self.letters(upload, make_channel, ShuffleConfig={"Seed": seed}), epoch)
            for seed in (0, 7)
            for epoch in range(4)
        ]
        assert len(set(orders)) == 8
        assert {bytes(sorted(order)) for order in orders} == {b"abcdefghij"}
        assert sent(self.letters(upload, make_channel, ShuffleConfig={"Seed": 7}), 3) == orders[-1]

    def test_hosts_share_the_objects_between_them(self, sent, upload, make_channel):
        channel = self.letters(upload, make_channel, "ShardedByS3Key")
        assert [sent(channel, host=host, hosts=3) for host in range(3)] == [b"adgj", b"beh", b"cfi"]
        assert sent(self.letters(upload, make_channel), host=2, hosts=3) == b"abcdefghij"

    def test_shares_of_a_shuffle_change_from_epoch_to_epoch(self, sent, upload, make_channel):
        channel = self.letters(upload, make_channel, "ShardedByS3Key", ShuffleConfig={"Seed": 1})
        shares = [[sent(channel, epoch, host=host, hosts=2) for host in range(2)] for epoch in range(4)]
        assert {bytes(sorted(first + second)) for first, second in shares} == {b"abcdefghij"}
        assert len({bytes(sorted(first)) for first, _ in shares}) > 1

    def test_lines_of_a_manifest_are_shuffled_and_shared_as_well(self, sent, augmented):
        lines = [{"n": number} for number in range(9)]
        channel = augmented(lines, ["n"], "ShardedByS3Key", ShuffleConfig={"Seed": 5})
        shares = [records(sent(channel, host=host, hosts=2)) for host in range(2)]
        assert [len(share) for share in shares] == [5, 4]
        assert sorted(map(int, shares[0] + shares[1])) == list(range(9))
        assert shares[0] != [b"0", b"2", b"4", b"6", b"8"]


class TestAugmentedManifest:
    def test_attributes_in_the_order_asked_for(self, sent, upload, augmented):
        upload({"p/1.jpg": b"one", "p/2.jpg": b"two"})
        lines = [{"class": 0, "source-ref": f"s3://bucket/p/{n}.jpg", "class-metadata": {"x": 1}} for n in (1, 2)]
        assert records(sent(augmented(lines))) == [b"one", b"0", b"two", b"0"]
        assert records(sent(augmented(lines, ["class", "source-ref"]))) == [b"0", b"one", b"0", b"two"]

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0"),
            ("0", '"0"'),
            ([1, 0, 1], "[1, 0, 1]"),
            ({"a": [{"b": 2}]}, '{"a": [{"b": 2}]}'),
            ("ä", '"ä"'),
            (None, "null"),
            ("\ud800", '"\\ud800"'),
        ],
        ids=["number", "text", "list", "object", "letter", "null", "half"],
    )
    def test_values_are_sent_as_json(self, sent, augmented, value, text):
        assert records(sent(augmented([{"class": value}], ["class"]))) == [text.encode()]

    def test_every_reference_is_followed(self, sent, upload, augmented):
        upload({"p/1.jpg": b"picture", "m/1.png": b"mask"})
        line = {"source-ref": "s3://bucket/p/1.jpg", "road-ref": "s3://bucket/m/1.png"}
        assert records(sent(augmented([line], ["source-ref", "road-ref"]))) == [b"picture", b"mask"]

    def test_without_a_wrapper_bytes_follow_each_other(self, sent, upload, augmented):
        upload({"p/1.jpg": b"picture"})
        line = {"source-ref": "s3://bucket/p/1.jpg", "class": 3}
        assert sent(augmented([line, line], RecordWrapperType="None")) == b"picture3picture3"

    def test_blank_lines_a_byte_order_mark_and_no_last_line_end(self, sent, augmented):
        data = b'\xef\xbb\xbf{"n": 1}\r\n\r\n  \n{"n": 2}'
        assert records(sent(augmented(data, ["n"]))) == [b"1", b"2"]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"not json", "is not JSON"),
            (b"\xff", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b"[1]", "is a JSON list, not an object"),
            (b"{}", "has no attribute `source-ref`, which AttributeNames lists; it has nothing; mend the line or Attr"),
            (
                b'{"source-ref": "s3://b/k", "label": 1}',
                "has no attribute `class`, which AttributeNames lists; it has `s",
            ),
            (b'{"source-ref": "a.jpg", "class": 1}', 'attribute `source-ref` holds no S3 URI: "a.jpg" is no S3 URI'),
            (b'{"source-ref": 7, "class": 1}', 'attribute `source-ref` holds no S3 URI: "7" is no S3 URI'),
            (b'{"source-ref": "s3://bucket/", "class": 1}', "attribute `source-ref` names a bucket, no object"),
        ],
    )
    def test_a_line_that_cannot_be_sent_is_named_before_anything_is(self, sent, augmented, line, said):
        data = b'{"source-ref": "s3://bucket/x", "class": 1}\n\n' + line + b"\n"
        with pytest.raises(DataError) as caught:
            sent(augmented(data))
        assert str(caught.value).startswith("s3://bucket/lists/train.manifest:3: ")
        assert said in str(caught.value)

    def test_a_line_without_end(self, sent, augmented, monkeypatch):
        monkeypatch.setattr(pipe_plan, "LINE_BYTES", 64)
        with pytest.raises(DataError, match="train: line 2 is longer"):
            sent(augmented(b'{"class": 1}\n' + b" " * 64 + b"\n", ["class"]))

    def test_no_lines(self, sent, augmented):
        with pytest.raises(
            CustomerError, match="the train channel sends nothing: there is nothing in s3://bucket/lists"
        ):
            sent(augmented(b"\n\n"))

    @pytest.mark.parametrize("uri", ["s3://bucket/gone.jpg", "s3://elsewhere/1.jpg"])
    def test_an_object_that_is_not_there_is_named_with_its_line(self, sent, upload, augmented, uri):
        upload({"1.jpg": b"x"})
        lines = [{"source-ref": where, "class": 1} for where in ("s3://bucket/1.jpg", uri)]
        with pytest.raises(
            DataError, match=f"^s3://bucket/lists/train.manifest:2: names {uri}, an object of the train"
        ):
            sent(augmented(lines))

    @hypothesis_settings(max_examples=60, deadline=None)
    @given(
        st.binary(max_size=60)
        | st.lists(st.dictionaries(st.sampled_from(["n", "a"]), st.text(max_size=3)), max_size=4).map(
            lambda lines: "\n".join(map(json.dumps, lines)).encode()
        )
    )
    def test_any_manifest_gives_a_record_a_line_or_one_clear_error(self, tmp_path_factory, data):
        found = sent_or_refused(tmp_path_factory.mktemp("any"), data)
        if isinstance(found, CustomerError):
            assert "s3://bucket/list" in str(found)
            assert str(found).isprintable()
        else:
            assert len(records(found)) == sum(bool(line.strip()) for line in data.split(b"\n"))


def sent_or_refused(root: Path, manifest: bytes) -> bytes | CustomerError:
    objects = LocalStore(root / "s3")
    objects.create_bucket("bucket", "us-east-1")
    (objects.root / "bucket/list").write_bytes(manifest)
    source = {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://bucket/list", "AttributeNames": ["n"]}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}, "RecordWrapperType": "RecordIO"}
    try:
        pipe = plan(channel, root / "pipes", objects)
    except CustomerError as error:
        return error
    with closing(Sender(pipe, objects)) as sender:
        return b"".join(sender.epoch(0))


def test_a_feed_is_written_down_and_read_back(tmp_path):
    pipe = PipePlan(
        "train", tmp_path / "x", "s3://b/m", ("a-ref", "b"), wrapped=True, zipped=True, seed=0, host=1, hosts=3
    )
    assert PipePlan.from_json(json.loads(json.dumps(pipe.to_json()))) == pipe


class TestTasks:
    """Every task reads what its channels send, as the formats of the records are told from content type and wrapper."""

    @pytest.fixture
    def dataset(self, tmp_path, jpeg):
        samples = []
        for seed in range(4):
            path = tmp_path / f"{seed}.jpg"
            path.write_bytes(jpeg(seed=seed))
            path.with_suffix(".png").write_bytes(mask_png(np.full((48, 64), seed % 3, np.uint8)))
            box = Box(seed % 2, 1, 2, 30 + seed, 40)
            samples.append(Sample(Blob(path), (seed % 2,), (box,), Blob(path.with_suffix(".png"))))
        splits: dict[SplitName, tuple[Sample, ...]] = {"train": tuple(samples[:3]), "validation": tuple(samples[3:])}
        return Dataset(tmp_path, "memory", ("a", "b", "c"), splits)

    @pytest.fixture
    def load(self, dataset, objects, tmp_path, make_channel):
        """``load("recordio", "detection")``: what the algorithm finds in the two channels."""

        def load(format, task):
            FORMATS.get(format).write(replace(dataset, task=task), objects.root / "bucket/data")
            given = [_channel(format, task, name, objects, make_channel) for name in ("train", "validation")]
            job = job_of(given, tmp_path / "opt_ml")
            writers = [_write(plan(channel, tmp_path / "pipes", objects), job.data, objects) for channel in given]
            found = read_job(job, num_classes=3 if task != "classification" else 2, task=task)
            for writer in writers:
                writer.join(10)
            return found

        return load

    @pytest.mark.parametrize(
        ("format", "task"),
        [
            ("recordio", "classification"),
            ("augmented-manifest", "classification"),
            ("recordio", "detection"),
            ("augmented-manifest", "detection"),
            ("augmented-manifest", "segmentation"),
        ],
    )
    def test_records(self, dataset, load, format, task):
        found = load(format, task)
        assert (found.format, found.task, found.problems) == (format, task, ())
        for split, samples in dataset.splits.items():
            read = found.splits[split]
            assert [sample.image.read() for sample in read] == [sample.image.read() for sample in samples]
            if task == "segmentation":
                assert [sample.mask.read() for sample in read] == [sample.mask.read() for sample in samples]
            else:
                assert [sample.classes for sample in read] == [sample.classes for sample in samples]
            if task == "detection":
                boxes = [(b.xmin, b.ymin, b.xmax, b.ymax) for sample in read for b in sample.boxes]
                assert np.allclose(
                    boxes, [(b.xmin, b.ymin, b.xmax, b.ymax) for s in samples for b in s.boxes], atol=1e-4
                )

    @pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
    def test_an_empty_stream_is_an_empty_batch(self, tmp_path, upload, make_channel, objects, wrapper):
        upload({"data/a.rec": b""})
        kind = {"ContentType": "application/x-recordio", "RecordWrapperType": wrapper}
        given = [make_channel(name, "s3://bucket/data/", **kind) for name in ("train", "validation")]
        job = job_of(given, tmp_path / "opt_ml")
        plain = {**given[0], "RecordWrapperType": "None"}  # an empty object wrapped is a record
        writer = _write(plan(plain, tmp_path / "pipes", objects), job.data, objects)
        with pytest.raises(DataError, match=r"^Got empty batch from pipe\. .*The train channel sent no"):
            read_job(job, num_classes=2)
        writer.join(10)


def job_of(given, root: Path) -> JobDir:
    data = JobDir(root).data
    return JobDir.create(
        root, {}, {c["ChannelName"]: channels.described(c, "Pipe", data / c["ChannelName"]) for c in given}
    )


def _channel(format, task, name, objects, make_channel):
    """A channel of the split ``name`` of what ``format`` wrote to the folder ``data`` of the bucket."""
    kind = {"ContentType": "application/x-recordio"}
    if format == "recordio":
        return make_channel(name, f"s3://bucket/data/{name}.rec", **kind)
    path = objects.root / f"bucket/data/{name}.manifest"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    label = next(key for key in lines[0] if key != "source-ref" and not key.endswith("-metadata"))
    for line in lines:
        line |= {key: f"s3://bucket/data/{value}" for key, value in line.items() if key.endswith("-ref")}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    uri = f"s3://bucket/data/{name}.manifest"
    channel = make_channel(name, uri, "AugmentedManifestFile", RecordWrapperType="RecordIO", **kind)
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref", label]
    return channel


def _write(plan: PipePlan, data: Path, objects: LocalStore) -> threading.Thread:
    """Make the first pipe of ``plan`` and write to it what is sent, in the background."""
    path = data / f"{plan.channel}_0"
    os.mkfifo(path)

    def write() -> None:
        with closing(Sender(plan, objects)) as sender, path.open("wb") as pipe:
            pipe.writelines(sender.epoch(0))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    return writer
