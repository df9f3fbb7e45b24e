"""``clary evaluate`` on a real model."""

from __future__ import annotations

import json

import pytest


def test_tables_mistakes_and_headline(cli, colour_run):
    code, out, err = cli("evaluate", colour_run, colour_run.parent / "pictures")
    assert code == 0, err
    *_, headline = out.strip().splitlines()
    assert headline.startswith("accuracy 0.7778 on 9 test pictures, macro F1 0.7")
    assert [line.split() for line in out.splitlines() if line.split()[:1] == ["green"]] == [
        ["green", "3", "1.000", "0.667", "0.800"]
    ]
    for name in ("test/red/0.jpg", "test/green/1.jpg"):
        assert sum(name in line for line in out.splitlines()) == 1


def test_another_split_and_engine(cli, colour_run):
    model, images = colour_run / "model.tar.gz", colour_run.parent / "pictures"
    code, out, _ = cli("evaluate", model, images, "--split", "train", "--engine", "onnxruntime")
    assert code == 0
    assert "accuracy 1.0000 on 12 train pictures" in out
    assert "with onnxruntime in fp32" in out
    assert "mistakes" not in out


def test_the_precision(cli, colour_run):
    words = ("evaluate", colour_run, colour_run.parent / "pictures", "--precision", "fp32")
    assert cli(*words)[1].rstrip().endswith(" with openvino in fp32")
    found = json.loads(cli(*words, "--json")[1])
    assert (found["engine"], found["precision"]) == ("openvino", "fp32")


def test_boxes(cli, box_run):
    code, out, err = cli("evaluate", box_run, box_run.parent / "pictures")
    assert code == 0, err
    *_, headline = out.strip().splitlines()
    assert headline.startswith("mAP 0.")
    assert " on 6 test pictures (COCO AP 0." in headline
    assert "class  boxes  AP at 0.5  AP (COCO)" in out
    assert "missed" in out
    assert json.loads(cli("evaluate", box_run, box_run.parent / "pictures", "--json")[1])["task"] == "detection"


def test_masks(cli, pixel_run):
    code, out, err = cli("evaluate", pixel_run, pixel_run.parent / "pictures", "--split", "train")
    assert code == 0, err
    *_, headline = out.strip().splitlines()
    assert headline.startswith("mIOU 0.")
    assert "on 3 train pictures, pixel accuracy 0." in headline
    assert "Worst pictures" in out


def test_json_and_nothing_else(cli, colour_run):
    code, out, _ = cli("evaluate", colour_run, colour_run.parent / "pictures", "--json")
    assert code == 0
    value = json.loads(out)
    assert value["metrics"]["accuracy"] == pytest.approx(7 / 9, abs=1e-6)
    assert value["split"] == "test"


def test_pictures_left_out_are_named(cli, colour_run):
    bad = colour_run.parent / "pictures" / "test" / "red" / "2.jpg"
    bad.write_bytes(b"")
    code, out, err = cli("evaluate", colour_run, colour_run.parent / "pictures")
    assert code == 0
    assert "on 8 test pictures" in out
    assert f"{bad}: is empty" in err


def test_bad_records_are_told_of(cli, colours, colour_model, tmp_path):
    images = colours(tmp_path / "pictures", {"train": 2})
    (images / "train" / "purple").mkdir()
    code, out, err = cli("evaluate", colour_model, images)
    assert code == 0, err
    assert "accuracy 1.0000 on 6 train pictures" in out
    assert "bad records: 1, the first: train/purple" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["{run}", "{run}/nothing"], "does not exist"),
        (["{run}/nothing.tar.gz", "{pictures}"], "nothing.tar.gz"),
        (["{run}", "{pictures}", "--split", "holiday"], "no pictures in split `holiday`"),
        (["{run}", "{pictures}", "--labels", "species"], "species"),
        (["{run}", "{pictures}", "--engine", "abacus"], "unknown engines `abacus`"),
    ],
)
def test_wrong_input_gets_one_line(cli, colour_run, words, complaint):
    places = {"run": colour_run, "pictures": colour_run.parent / "pictures"}
    code, out, err = cli("evaluate", *(word.format(**places) for word in words))
    assert code == 2
    assert out == ""
    *_, last = err.strip().splitlines()
    assert last.startswith("clary: ")
    assert complaint in last
