"""Which objects a channel holds, what their files are called, and that they are there."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clary.control.jobs import channels, manifests
from clary.control.jobs.channels import ChannelFile, check, copy_below, described, fill, names, resolved, shard
from clary.control.objects.base import Object, S3Uri
from clary.control.objects.local import LocalStore
from clary.control.objects.machine_files import WithMachineFiles
from clary.control.wire.errors import ServiceError, ValidationException
from clary.errors import ClaryError, CustomerError, DataError
from clary.vision.base.jobdir import Channel


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read_manifest(data: bytes) -> tuple[str, list[str]] | ClaryError:
    try:
        return manifests.parts(data, S3Uri("bucket", "list"))
    except ClaryError as error:
        return error


class TestNames:
    @pytest.mark.parametrize(
        ("prefix", "key", "name"),
        [
            ("data", "data/train/cat/x.jpg", "train/cat/x.jpg"),
            ("data/", "data/train/cat/x.jpg", "train/cat/x.jpg"),
            ("", "data/x.jpg", "data/x.jpg"),
            ("data/x.jpg", "data/x.jpg", "x.jpg"),
            ("x.jpg", "x.jpg", "x.jpg"),
            ("tr", "train/x.jpg", "train/x.jpg"),
            ("data/tr", "data/train/x.jpg", "train/x.jpg"),
            ("data/train", "data/train_lst/train.lst", "train_lst/train.lst"),
            ("data", "data//x.jpg", "x.jpg"),
            ("data", "data/a//x.jpg", "a/x.jpg"),
            ("data", "data/ä +=%20.jpg", "ä +=%20.jpg"),
        ],
    )
    def test_a_prefix(self, prefix, key, name):
        assert [e.name for e in names([Object(key, 3, 0.0)], prefix)] == [name]

    def test_folder_markers(self):
        found = [Object("data/", 0, 0.0), Object("data/empty/", 0, 0.0), Object("data/x", 1, 0.0)]
        assert list(names(found, "data/")) == [ChannelFile("data/empty/", "empty", True), ChannelFile("data/x", "x")]

    def test_a_marker_with_bytes_cannot_be_a_file(self):
        with pytest.raises(CustomerError, match="`data/x/` ends in a slash"):
            list(names([Object("data/x/", 7, 0.0)], "data"))

    @pytest.mark.parametrize("key", ["data/../x", "data/..", "data/./x", "data/a/../../x", "data/" + "x" * 256, "d\0a"])
    def test_names_that_would_lie_elsewhere(self, key):
        with pytest.raises(CustomerError, match="cannot be a file of a channel"):
            list(names([Object(key, 1, 0.0)], "data" if key.startswith("data") else ""))

    @given(
        st.lists(st.text(st.sampled_from("ab./\\ü \n"), min_size=1, max_size=8), max_size=6, unique=True),
        st.text(st.sampled_from("ab./"), max_size=3),
    )
    def test_whatever_the_keys_are_no_file_leaves_the_folder_and_none_is_shared(self, keys, prefix):
        found = [Object(key, 0 if key.endswith("/") else 1, 0.0) for key in sorted(keys) if key.startswith(prefix)]
        try:
            held = list(channels._distinct(names(found, prefix), "train"))
        except CustomerError:
            return
        files = [e.name for e in held if not e.is_folder]
        assert len(set(files)) == len(files)
        for entry in held:
            parts = entry.name.split("/")
            assert not {"", ".", ".."} & set(parts)
            assert not any("/".join(parts[:n]) in files for n in range(1, len(parts)))
        assert len(held) >= len([o for o in found if not o.key.endswith("/")])

    @pytest.mark.parametrize(
        ("keys", "first", "second"),
        [
            (["a", "a/b"], "a", "a/b"),
            (["a/b", "a"], "a/b", "a"),
            (["a//b", "a/b"], "a//b", "a/b"),
            (["a/b/c", "a/b"], "a/b/c", "a/b"),
        ],
    )
    def test_two_objects_that_need_the_same_file(self, keys, first, second):
        found = [Object(key, 1, 0.0) for key in keys]
        with pytest.raises(CustomerError, match=f"the train channel need the same file: `{first}` and `{second}`"):
            list(channels._distinct(names(found, ""), "train"))


class TestShard:
    @given(st.lists(st.text(max_size=5), max_size=30, unique=True), st.integers(1, 7))
    def test_the_hosts_share_all_files_between_them(self, keys, hosts):
        held = [ChannelFile(key, key) for key in keys]
        parts = [shard(held, host, hosts) for host in range(hosts)]
        assert sorted(e.key for part in parts for e in part) == sorted(keys)
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert parts == [shard(held[::-1], host, hosts) for host in range(hosts)]

    def test_the_rule(self):
        held = [ChannelFile(key, key) for key in "dbca"] + [ChannelFile("f/", "f", True)]
        assert [e.key for e in shard(held, 0, 3)] == ["f/", "a", "d"]
        assert [e.key for e in shard(held, 2, 3)] == ["f/", "c"]


class TestFill:
    def test_links(self, objects, upload, make_channel, tmp_path):
        upload({"data/train/cat/1.jpg": b"cat", "data/train/dog/2.jpg": b"dog", "data/empty/": b"", "other": b"x"})
        assert fill(make_channel("train", "s3://bucket/data"), "File", tmp_path / "train", objects) == 2
        assert files_of(tmp_path / "train") == {"train/cat/1.jpg": b"cat", "train/dog/2.jpg": b"dog"}
        assert (tmp_path / "train" / "empty").is_dir()
        stored = objects.root / "bucket/data/train/cat/1.jpg"
        assert (tmp_path / "train/train/cat/1.jpg").samefile(stored)

    def test_files_of_this_machine_are_read_where_they_lie(self, objects, make_channel, tmp_path):
        files = WithMachineFiles(objects)
        for name in ("cat/1.jpg", "list"):
            (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_bytes(name.encode())
        held = files_of(tmp_path / "data")
        whole, one = (
            make_channel("train", f"file://{tmp_path}/data/"),
            make_channel("l", f"file://{tmp_path}/data/list"),
        )
        assert fill(whole, "File", tmp_path / "job" / "train", files) == 2
        assert os.readlink(tmp_path / "job" / "train") == str(tmp_path / "data")
        assert fill(one, "File", tmp_path / "job" / "l", files) == 1
        assert files_of(tmp_path / "job" / "l") == {"list": b"list"}
        # Of a program that could write through a link, and of one host among several, each has its own.
        for number, (linked, hosts) in enumerate([(False, 1), (True, 2)]):
            folder = tmp_path / "job" / str(number)
            assert fill(whole, "File", folder, files, hosts=hosts, linked=linked) == 2
            assert files_of(folder) == held
            assert (folder / "list").samefile(tmp_path / "data" / "list") is linked
        (tmp_path / "data" / "link").symlink_to("/etc")
        with pytest.raises(CustomerError, match=r"data/link: is a symbolic link.*; links are not followed"):
            fill(whole, "File", tmp_path / "job" / "again", files)

    def test_a_file_system_is_the_folder_it_is_mapped_to(self, objects, tmp_path):
        (tmp_path / "shared" / "pets").mkdir(parents=True)
        (tmp_path / "shared" / "pets" / "1.jpg").write_bytes(b"cat")
        files = {
            "FileSystemId": "fs-1",
            "FileSystemType": "EFS",
            "FileSystemAccessMode": "ro",
            "DirectoryPath": "/pets",
        }
        given = {"ChannelName": "train", "DataSource": {"FileSystemDataSource": files}}
        channel = resolved(given, "File", {"fs-1": tmp_path / "shared"})
        assert fill(channel, "File", tmp_path / "train", WithMachineFiles(objects)) == 1
        assert files_of(tmp_path / "train") == {"1.jpg": b"cat"}
        assert resolved(channel, "File", {}) is channel

    def test_a_mapped_bucket_is_read_as_any(self, settings, make_channel, tmp_path):
        (tmp_path / "samples" / "pets").mkdir(parents=True)
        (tmp_path / "samples" / "pets" / "1.jpg").write_bytes(b"cat")
        objects = LocalStore(settings.s3_root, {"sagemaker-sample-*": tmp_path / "samples"})
        channel = make_channel("train", "s3://sagemaker-sample-files/pets")
        check(channel, "File", objects)
        assert fill(channel, "File", tmp_path / "train", objects) == 1
        assert files_of(tmp_path / "train") == {"1.jpg": b"cat"}

    def test_a_later_upload_does_not_alter_what_a_job_sees(self, objects, upload, make_channel, tmp_path):
        upload({"data/x": b"before"})
        fill(make_channel("train", "s3://bucket/data"), "File", tmp_path / "train", objects)
        (tmp_path / "new").write_bytes(b"after")
        objects.put("bucket", "data/x", tmp_path / "new")
        assert files_of(tmp_path / "train") == {"x": b"before"}

    def test_copies(self, objects, upload, make_channel, tmp_path):
        upload({"code/run.sh": b"true"})
        fill(make_channel("code", "s3://bucket/code"), "File", tmp_path / "code", objects, linked=False)
        (tmp_path / "code/run.sh").write_bytes(b"changed")
        (tmp_path / "code/run.sh").chmod(0o777)
        assert (objects.root / "bucket/code/run.sh").read_bytes() == b"true"

    def test_downloads(self, far_objects, upload, make_channel, tmp_path):
        wanted = {f"data/{n}/{n}.bin": bytes([n]) for n in range(100)}
        upload(wanted)
        fill(make_channel("train", "s3://bucket/data/"), "FastFile", tmp_path / "train", far_objects)
        assert files_of(tmp_path / "train") == {k.removeprefix("data/"): v for k, v in wanted.items()}

    @pytest.mark.parametrize("store", ["objects", "far_objects"])
    @pytest.mark.parametrize(
        ("keys", "what"),
        [
            (["data/../../out"], "the key `data/../../out` cannot be a file of a channel"),
            (["data/.."], "the key `data/..` cannot be a file of a channel"),
            (["data/a\0b"], "it holds a control character"),
            (["data/" + "x" * 256], "is longer than 255 bytes"),
            (["data/a", "data/a/b"], "need the same file: `data/a` and `data/a/b`"),
            (["data/a", "data//a"], "need the same file: `data//a` and `data/a`"),
            (["data/a/"], "the object `data/a/` ends in a slash"),
        ],
    )
    def test_a_key_that_no_path_holds_is_named(self, store, request, objects, make_channel, tmp_path, keys, what):
        (tmp_path / "file").write_bytes(b"1")
        for key in keys:
            objects.put("bucket", key, tmp_path / "file")
        found = request.getfixturevalue(store)
        for fetch in (
            lambda: fill(make_channel("train", "s3://bucket/data/"), "File", tmp_path / "in/train", found),
            lambda: copy_below(S3Uri("bucket", "data/"), tmp_path / "in", found),
        ):
            with pytest.raises(CustomerError, match=re.escape(what)):
                fetch()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home"]

    def test_keys_that_are_no_plain_files_are_fetched(self, objects, make_channel, tmp_path):
        (tmp_path / "file").write_bytes(b"1")
        for key in ("data", "data//x", "data/y/z", "data/tab\there"):
            objects.put("bucket", key, tmp_path / "file")
        assert fill(make_channel("train", "s3://bucket/data/"), "File", tmp_path / "train", objects) == 3
        assert set(files_of(tmp_path / "train")) == {"x", "y/z", "tab\there"}

    def test_a_host_gets_its_shard(self, objects, upload, make_channel, tmp_path):
        upload({f"data/{letter}": b"" for letter in "abcde"})
        channel = make_channel("train", "s3://bucket/data/", distribution="ShardedByS3Key", ShuffleConfig={"Seed": 3})
        fill(channel, "File", tmp_path / "one", objects, host=0, hosts=2)
        fill(channel, "File", tmp_path / "two", objects, host=1, hosts=2)
        assert list(files_of(tmp_path / "one")) == ["a", "c", "e"]
        assert list(files_of(tmp_path / "two")) == ["b", "d"]
        fill(make_channel("train", "s3://bucket/data/"), "File", tmp_path / "all", objects, host=1, hosts=2)
        assert len(files_of(tmp_path / "all")) == 5

    def test_what_vanished_since_the_job_was_created(self, objects, make_channel, tmp_path):
        with pytest.raises(CustomerError, match=r"the train channel holds no object.*s3://bucket/gone"):
            fill(make_channel("train", "s3://bucket/gone/"), "File", tmp_path / "train", objects)
        with pytest.raises(ServiceError, match="bucket does not exist: nowhere"):
            fill(make_channel("train", "s3://nowhere/x"), "File", tmp_path / "train", objects)

    @pytest.mark.parametrize("store", ["objects", "far_objects"])
    def test_an_object_that_goes_away_meanwhile(self, store, request, upload, make_channel, tmp_path, monkeypatch):
        objects = request.getfixturevalue(store)
        upload({"data/a": b"", "data/b": b""})
        held = list(objects.list("bucket", "data"))
        (objects.root / "bucket/data/b").unlink()
        monkeypatch.setattr(objects, "list", lambda bucket, prefix="": iter(held))
        with pytest.raises(CustomerError, match="s3://bucket/data/b: the train channel holds an object"):
            fill(make_channel("train", "s3://bucket/data"), "File", tmp_path / "train", objects)

    @pytest.mark.slow
    def test_ten_thousand_files_are_linked_in_about_a_second(self, objects, upload, make_channel, tmp_path):
        upload({f"data/{n % 37}/{n:05}.jpg": b"x" for n in range(10_000)})
        start = time.perf_counter()
        assert fill(make_channel("train", "s3://bucket/data/"), "File", tmp_path / "train", objects) == 10_000
        assert time.perf_counter() - start < 5


class TestManifest:
    def manifest(self, upload, value: object, raw: bytes | None = None) -> None:
        upload({"lists/train.manifest": json.dumps(value).encode() if raw is None else raw})

    def test_its_files(self, objects, upload, make_channel, tmp_path):
        upload({"data/set/cat/1.jpg": b"1", "data/set/2.jpg": b"2", "data/set/3.jpg": b"3"})
        self.manifest(upload, [{"prefix": "s3://bucket/data/set/"}, "cat/1.jpg", "2.jpg", "2.jpg"])
        channel = make_channel("train", "s3://bucket/lists/train.manifest", "ManifestFile")
        assert fill(channel, "File", tmp_path / "train", objects) == 2
        assert files_of(tmp_path / "train") == {"cat/1.jpg": b"1", "2.jpg": b"2"}

    def test_a_prefix_is_put_before_the_strings_as_it_is(self, objects, upload, make_channel, tmp_path):
        upload({"data/set-1.jpg": b"1"})
        self.manifest(upload, [{"prefix": "s3://bucket/data/set"}, "-1.jpg"])
        fill(make_channel("t", "s3://bucket/lists/train.manifest", "ManifestFile"), "File", tmp_path / "t", objects)
        assert files_of(tmp_path / "t") == {"-1.jpg": b"1"}

    def test_an_object_it_names_that_is_not_there(self, objects, upload, make_channel, tmp_path):
        self.manifest(upload, [{"prefix": "s3://bucket/data/"}, "missing.jpg"])
        channel = make_channel("train", "s3://bucket/lists/train.manifest", "ManifestFile")
        with pytest.raises(CustomerError, match=r"s3://bucket/data/missing\.jpg"):
            fill(channel, "File", tmp_path / "train", objects)

    @pytest.mark.parametrize(
        "value",
        [
            [],
            {},
            7,
            ["a"],
            [{}, "a"],
            [{"prefix": 3}],
            [{"prefix": "http://x/"}],
            [{"prefix": "s3:///x"}],
            [{"prefix": "s3://bucket/"}, 3],
            [{"prefix": "s3://bucket/"}, ""],
            [{"prefix": "s3://bucket/"}, "\ud800"],
        ],
    )
    def test_what_is_no_manifest(self, objects, upload, make_channel, tmp_path, value):
        self.manifest(upload, value)
        with pytest.raises(DataError, match=r"s3://bucket/lists/train\.manifest: "):
            fill(make_channel("t", "s3://bucket/lists/train.manifest", "ManifestFile"), "File", tmp_path / "t", objects)

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/", "."])
    def test_names_that_would_lie_elsewhere(self, objects, upload, make_channel, tmp_path, name):
        self.manifest(upload, [{"prefix": "s3://bucket/data/"}, name])
        with pytest.raises(CustomerError, match="cannot be a file"):
            fill(make_channel("t", "s3://bucket/lists/train.manifest", "ManifestFile"), "File", tmp_path / "t", objects)

    @pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[" * 100_000, b'[{"prefix"'])
    def test_damaged_ones(self, objects, upload, make_channel, tmp_path, raw):
        self.manifest(upload, None, raw)
        with pytest.raises(DataError, match="is not JSON"):
            fill(make_channel("t", "s3://bucket/lists/train.manifest", "ManifestFile"), "File", tmp_path / "t", objects)

    @hypothesis_settings(max_examples=200)
    @given(
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda s: st.lists(s, max_size=4))
        | st.lists(st.fixed_dictionaries({"prefix": st.text(max_size=8)}) | st.text(max_size=4), max_size=4)
    )
    def test_any_json_gives_keys_or_one_clear_error(self, value):
        found = read_manifest(json.dumps(value).encode())
        if isinstance(found, ClaryError):
            assert str(found).startswith("s3://bucket/list: ")
            assert "\n" not in str(found)
        else:
            assert found[0].startswith("s3://")
            assert all(isinstance(one, str) and one for one in found[1])

    @given(st.binary(max_size=60))
    def test_any_bytes_give_keys_or_one_clear_error(self, data):
        found = read_manifest(data)
        assert isinstance(found, tuple) or str(found).startswith("s3://bucket/list: ")


class TestCheck:
    def test_what_is_there_is_taken(self, objects, upload, make_channel):
        upload({"data/train/x": b"", "list": b"no manifest, which is found out when it is read"})
        check(make_channel("train", "s3://bucket/data/tr"), "File", objects)
        check(make_channel("train", "s3://bucket/list", "ManifestFile"), "File", objects)

    @pytest.mark.parametrize(("uri", "bucket"), [("s3://bucket/nothing", "bucket"), ("s3://nowhere/data/", "nowhere")])
    def test_nothing_there_in_the_words_of_aws(self, objects, make_channel, uri, bucket):
        with pytest.raises(ValidationException) as refused:
            check(make_channel("train", uri), "File", objects, role="arn:aws:iam::0:role/R", region="eu-west-1")
        assert refused.value.message == (
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
            f"exists in the selected region (eu-west-1), that objects exist under that S3 prefix, and that the role "
            f'"arn:aws:iam::0:role/R" has "s3:ListBucket" permissions on bucket "{bucket}".'
        )

    @pytest.mark.parametrize(
        ("channel", "mode", "text"),
        [
            ({"DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1"}}}, "File", "has no S3DataSource"),
            ({"DataSource": {}}, "File", "has no S3DataSource"),
            ({"kind": "AugmentedManifestFile"}, "Pipe", "AugmentedManifestFile of the train channel has no Attrib"),
            ({"kind": "AugmentedManifestFile"}, "File", "can only be used if the channel's input mode is Pipe"),
            ({"kind": "AugmentedManifestFile", "InputMode": "File"}, "Pipe", "only be used if the channel's input mod"),
            ({"kind": "AugmentedManifestFile"}, "FastFile", "FastFile mode of the train channel takes S3Prefix only"),
            ({"kind": "Converse"}, "File", "Converse of the train channel is not supported; use S3Prefix or Manifest"),
            ({"kind": "ManifestFile"}, "FastFile", "FastFile mode of the train channel takes S3Prefix only"),
            ({"uri": "https://bucket/x"}, "File", '"https://bucket/x" is no S3 URI'),
        ],
    )
    def test_what_is_not_supported_says_so(self, objects, make_channel, channel, mode, text):
        members = {"uri": "s3://bucket/data", **channel}
        with pytest.raises(ValidationException, match=text):
            check(make_channel("train", **members), mode, objects)

    def test_a_manifest_is_one_object(self, objects, upload, make_channel):
        upload({"lists/train.manifest": b"{}"})
        with pytest.raises(ValidationException, match='No S3 objects found under S3 URL "s3://bucket/lists/train"'):
            check(make_channel("train", "s3://bucket/lists/train", "ManifestFile"), "File", objects)

    def test_augmented_manifests_are_not_unzipped(self, objects, make_channel):
        channel = make_channel("train", "s3://bucket/x", "AugmentedManifestFile", CompressionType="Gzip")
        channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref"]
        with pytest.raises(ValidationException, match="has the CompressionType Gzip"):
            check(channel, "Pipe", objects)

    def test_pipe_mode_is_taken(self, objects, upload, make_channel):
        upload({"data/x": b"", "list": b"[]"})
        check(make_channel("train", "s3://bucket/data"), "Pipe", objects)
        check(make_channel("train", "s3://bucket/list", "ManifestFile", InputMode="Pipe"), "File", objects)

    def test_a_channels_own_mode_counts(self, objects, upload, make_channel):
        upload({"data/x": b""})
        check(make_channel("train", "s3://bucket/data", InputMode="File"), "Pipe", objects)


def test_copies_below_a_prefix(objects, far_objects, upload, tmp_path):
    upload({"points/a/last": b"1", "points-old/last": b"2"})
    for number, store in enumerate((objects, far_objects)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert copy_below(S3Uri.parse("s3://bucket/points"), folder, store) == 1
        assert files_of(folder) == {"a/last": b"1"}
        (folder / "a/last").write_bytes(b"changed")
    assert (objects.root / "bucket/points/a/last").read_bytes() == b"1"


def test_a_channel_as_its_file_describes_it(make_channel, tmp_path):
    given = make_channel("train", "s3://b/x", distribution="ShardedByS3Key", ContentType="image/png", InputMode="File")
    assert described(given, "Pipe", tmp_path) == Channel(
        "train", tmp_path, "image/png", "File", "ShardedByS3Key", "None"
    )
    assert described(make_channel("t", "s3://b/x"), "FastFile", tmp_path).input_mode == "FastFile"
