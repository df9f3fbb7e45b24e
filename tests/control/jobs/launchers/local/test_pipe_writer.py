"""Pipes that are fed while a program runs: real monitors, real FIFOs, shell programs that read them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from clary.control.jobs.launch import STOPPED, Exit
from clary.control.jobs.launchers.local import lock, pipe_writer
from clary.control.jobs.pipe_plan import plan
from clary.vision.base.recordio import frame

HEAD = "head -c 4 input/data/train_0; echo; cat input/data/train_1 | wc -c"
WAITING = "echo up; exec sleep 1000"


@pytest.fixture
def fed(monitors, objects, tmp_path):
    """``fed([channel, ...], "sh", "-c", "...", **members)``: a launch whose channels are in Pipe mode."""

    def prepare(channels, *argv, **members):
        pipes = tuple(plan(channel, tmp_path / "pipes", objects) for channel in channels)
        return monitors.prepare(*argv, pipes=pipes, s3_root=objects.root, cwd="/opt/ml", **members)

    return prepare


@pytest.fixture
def run(monitors, fed):
    """``run([channel, ...], "shell script", **members)``: exit note and log lines."""

    def run(channels, script, **members):
        launch = fed(channels, "sh", "-c", script, **members)
        monitors.start(launch)
        return monitors.end(launch), monitors.lines(launch)

    return run


@pytest.mark.parametrize("namespace", [True, False])
def test_epoch_after_epoch(run, upload, make_channel, namespace):
    upload({"data/a": b"one\n", "data/b": b"two\n"})
    script = "ls input/data; cat input/data/train_0; cat input/data/train_1; cat input/data/train_2"
    note, lines = run([make_channel("train", "s3://bucket/data/")], script, namespace=namespace)
    assert (note.code, note.error) == (0, "")
    assert lines == ["train_0", *["one", "two"] * 3]


def test_a_shuffle_changes_the_order_of_every_epoch(run, upload, make_channel):
    upload({f"data/{letter}": letter.encode() for letter in "abcdefgh"})
    channel = make_channel("train", "s3://bucket/data/", ShuffleConfig={"Seed": 3})
    note, lines = run([channel], "for n in 0 1 2; do cat input/data/train_$n; echo; done")
    assert note.code == 0
    assert len(set(lines)) == 3
    assert {"".join(sorted(line)) for line in lines} == {"abcdefgh"}


def test_channels_do_not_wait_for_each_other(run, upload, make_channel):
    size = 1 << 20
    upload({"a": b"a" * size, "b": b"b" * size})
    channels = [make_channel("train", "s3://bucket/a"), make_channel("validation", "s3://bucket/b")]
    script = "cd input/data; exec 3< train_0; cat validation_0 | wc -c; cat validation_1 | wc -c; wc -c <&3"
    note, lines = run(channels, script)
    assert (note.code, [int(line) for line in lines]) == (0, [size] * 3)


def test_a_reader_that_stops_early_gets_the_next_epoch_whole(run, upload, make_channel):
    upload({"data/a": b"0123" * (1 << 18)})
    note, lines = run([make_channel("train", "s3://bucket/data/a")], HEAD)
    assert (note.code, note.error) == (0, "")
    assert (lines[0], int(lines[1])) == ("0123", 1 << 20)


def test_pipes_nobody_opens_do_not_hold_up_the_end(run, upload, make_channel):
    upload({"data/a": b"x"})
    note, lines = run([make_channel(name, "s3://bucket/data/") for name in ("train", "validation")], "echo done")
    assert (note.code, note.error, lines) == (0, "", ["done"])


def test_an_augmented_manifest(run, upload, make_channel):
    upload({"p.jpg": b"picture", "list": b'{"source-ref": "s3://bucket/p.jpg", "class": 7}\n'})
    channel = make_channel("train", "s3://bucket/list", "AugmentedManifestFile", RecordWrapperType="RecordIO")
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref", "class"]
    note, lines = run([channel], "od -An -v -tx1 input/data/train_0 | tr -d ' \\n'")
    assert (note.code, lines) == (0, [(frame(b"picture") + frame(b"7")).hex()])


def test_an_object_that_cannot_be_had_ends_the_job(fed, monitors, objects, upload, make_channel):
    """The program never takes the part it got for the whole: its pipe stays open until it is killed."""
    upload({"data/a": b"one\n", "data/b": b"two\n"})
    script = "cat input/data/train_0; echo end of data"
    launch = fed([make_channel("train", "s3://bucket/data/")], "sh", "-c", script)
    (objects.root / "bucket/data/b").unlink()
    monitors.start(launch)
    note = monitors.end(launch)
    reason = "ClientError: s3://bucket/data/b: an object of the train channel that does not exist; upload it, or leave"
    assert note.error.startswith(reason)
    assert (note.code, note.signal, note.reason, note.out_of_memory) == (None, signal.SIGKILL, "", False)
    assert monitors.lines(launch)[-1] == note.error
    assert "end of data" not in monitors.lines(launch)


def test_a_lost_feeder_ends_the_job(fed, monitors, wait_for, upload, make_channel):
    upload({"data/a": b"x"})
    launch = fed([make_channel("train", "s3://bucket/data/")], "sh", "-c", WAITING)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch) == ["up"])
    [process] = feeders(launch)
    os.kill(process, signal.SIGKILL)
    assert monitors.end(launch).error == pipe_writer.LOST


def test_a_job_that_waits_for_data_can_be_stopped(fed, monitors, wait_for, upload, make_channel):
    upload({"data/a": b"x"})
    launch = fed([make_channel("train", "s3://bucket/data/")], "sh", "-c", WAITING)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch) == ["up"])
    os.kill(lock.holder(launch.folder), signal.SIGTERM)
    note = monitors.end(launch)
    assert (note.reason, note.error) == (STOPPED, "")


def test_a_killed_monitor_takes_its_feeder_along_and_the_next_begins_anew(
    fed, monitors, wait_for, upload, make_channel
):
    upload({"data/a": b"whole\n"})
    script = (
        "cat input/data/train_0; cat input/data/train_1; [ -e input/again ] || { touch input/again; exec sleep 1000; }"
    )
    launch = fed([make_channel("train", "s3://bucket/data/")], "sh", "-c", script)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch) == ["whole", "whole"] and (launch.opt_ml / "input/again").exists())
    [process] = feeders(launch)
    os.kill(lock.holder(launch.folder), signal.SIGKILL)
    wait_for(lambda: not lock.is_held(launch.folder))
    wait_for(lambda: not Path(f"/proc/{process}").exists() or state(process) == "Z")
    monitors.start(launch)
    assert monitors.end(launch).code == 0
    assert monitors.lines(launch)[-2:] == ["whole", "whole"]
    assert len(monitors.lines(launch)) == 4


def test_the_program_holds_nothing_of_the_feeder(run, upload, make_channel):
    upload({"data/a": b"x"})
    script = f"{sys.executable} -c \"import os; print(os.listdir('/proc/self/fd'))\""
    _, lines = run([make_channel("train", "s3://bucket/data/")], script)
    assert lines == ["['0', '1', '2', '3']"]  # 3 is listdir's own


def test_a_first_pipe_that_cannot_be_made_is_said(fed, monitors, upload, make_channel):
    upload({"data/a": b"x"})
    launch = fed([make_channel("train", "s3://bucket/data/")], "true")
    (launch.data / "train_0").mkdir(parents=True)
    monitors.start(launch)
    note = monitors.end(launch)
    assert note.code is None
    assert note.error == "the pipe train_0 cannot be made: File exists"


def test_a_launch_without_pipes_has_no_feeder(monitors, wait_for):
    launch = monitors.prepare("sh", "-c", WAITING)
    monitors.start(launch)
    wait_for(lambda: monitors.lines(launch) == ["up"])
    assert feeders(launch) == []
    assert Exit.read(launch.folder, 1) is None


def feeders(launch) -> list[int]:
    """Children of the monitor that did not become the program."""
    parent = lock.holder(launch.folder)
    children = [int(p) for p in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return [child for child in children if os.getpgid(child) != child]


def state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
