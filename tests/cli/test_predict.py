"""``clary predict``."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def red(tmp_path, colours):
    """A red picture in a folder of nine, by colour."""
    return colours(tmp_path / "set", {"some": 3}) / "some" / "red" / "0.jpg"


def said(err: str) -> list[str]:
    """Lines besides the one that says what predicted."""
    *lines, last = err.splitlines()
    assert last.startswith("predicted with ")
    return lines


def test_a_picture(cli, colour_model, red):
    code, out, err = cli("predict", colour_model, red)
    assert (code, said(err)) == (0, [])
    header, *rows = [line.split() for line in out.splitlines() if line.strip()]
    assert header == ["image", "class", "score"]
    assert rows[0][:2] == [str(red), "red"]
    assert [len(row) for row in rows] == [3, 2, 2]
    assert float(rows[0][2]) > 0.9


def test_the_precision_is_said_and_may_be_chosen(cli, colour_model, red):
    assert cli("predict", colour_model, red)[2].startswith("predicted with openvino in ")
    assert cli("predict", colour_model, red, "--json", "--precision", "fp32")[2] == "predicted with openvino in fp32\n"
    code, _, err = cli("predict", colour_model, red, "--precision", "int8")
    assert (code, err) == (2, "clary: unknown precision `int8`; choose auto or fp32\n")


def test_top(cli, colour_model, red):
    _, out, _ = cli("predict", colour_model, red, "--top", 1)
    assert len(out.strip().splitlines()) == 2
    assert cli("predict", colour_model, red, "--top", 0)[0] == 2


def test_json(cli, colour_model, red):
    code, out, _ = cli("predict", colour_model, red, "--json", "--top", 2)
    (row,) = json.loads(out)
    assert (code, row["image"]) == (0, str(red))
    assert row["predictions"][0]["label"] == "red"
    assert len(row["predictions"]) == 2


@pytest.fixture
def scenes(tmp_path, rectangle_image):
    """Four pictures of rectangles, two of one name."""
    folder = tmp_path / "scenes"
    (folder / "more").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.png", "c.png", "more/a.png")):
        Image.fromarray(rectangle_image(seed, 200, 160)[0]).save(folder / name)
    return folder


def test_boxes(cli, box_model, scenes, rectangle_image):
    code, out, err = cli("predict", box_model, scenes / "b.png")
    assert (code, said(err)) == (0, [])
    header, *rows = [line.split() for line in out.splitlines() if line.strip()]
    assert header == ["image", "class", "score", "xmin", "ymin", "xmax", "ymax"]
    true = rectangle_image(1, 200, 160)[1]
    assert len(rows) == len(true) == 2
    assert rows[0][0] == str(scenes / "b.png")
    assert sorted(row[-6] for row in rows) == sorted(("blue", "green", "red")[colour] for colour, *_ in true)


def test_boxes_as_json_above_a_score(cli, box_model, scenes):
    (row,) = json.loads(cli("predict", box_model, scenes / "b.png", "--json")[1])
    assert (row["width"], row["height"], len(row["boxes"])) == (200, 160, 2)
    assert set(row["boxes"][0]) == {"label", "score", "xmin", "ymin", "xmax", "ymax"}
    (row,) = json.loads(cli("predict", box_model, scenes / "b.png", "--json", "--least", 0.99)[1])
    assert row["boxes"] == []
    code, out, _ = cli("predict", box_model, scenes / "b.png", "--least", 0.99)
    assert (code, out.split()[-2:]) == (0, [str(scenes / "b.png"), "-"])


def test_files_that_are_no_pictures_are_counted_and_the_place_of_drawings_is_said(cli, box_model, scenes, tmp_path):
    (scenes / "notes.txt").write_text("none")
    code, _, err = cli("predict", box_model, scenes, "--output", tmp_path / "drawn")
    assert code == 0
    assert said(err) == ["left out: 1 file that is hidden or no picture", f"drawn in {tmp_path / 'drawn'}"]


def test_drawn_boxes(cli, box_model, scenes, tmp_path):
    code, _, err = cli("predict", box_model, scenes, "--output", tmp_path / "drawn")
    assert (code, said(err)) == (0, [f"drawn in {tmp_path / 'drawn'}"])
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg", "c.jpg"]
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "b.jpg")).astype(int)
    before = np.asarray(Image.open(scenes / "b.png")).astype(int)
    assert drawn.shape == before.shape
    assert (np.abs(drawn - before).max(axis=2) > 60).sum() > 200


def test_masks(cli, pixel_model, scenes, rectangle_image, tmp_path):
    code, out, err = cli("predict", pixel_model, scenes / "b.png", "-o", tmp_path / "drawn")
    assert (code, said(err)) == (0, [f"drawn in {tmp_path / 'drawn'}"])
    header, *rows = [line.split() for line in out.splitlines() if line.strip()]
    assert header == ["image", "class", "share"]
    assert rows[0][1] == "ground"
    assert sum(float(row[-1]) for row in rows) == pytest.approx(1, abs=1e-3)
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["b.jpg", "b.mask.png"]
    ids = np.array(Image.open(tmp_path / "drawn" / "b.mask.png"))
    for colour, left, top, right, bottom in rectangle_image(1, 200, 160)[1]:
        assert (ids[top:bottom, left:right] == colour + 1).all()
    (row,) = json.loads(cli("predict", pixel_model, scenes / "b.png", "--json")[1])
    assert row["shares"][0]["label"] == "ground"


def test_a_classifier_draws_nothing(cli, colour_model, red, tmp_path):
    code, out, err = cli("predict", colour_model, red, "--output", tmp_path / "drawn")
    assert (code, out) == (2, "")
    assert err == "clary: --output: a classifier has nothing to draw; leave it out\n"
    assert not (tmp_path / "drawn").exists()


def test_where_drawings_cannot_go(cli, box_model, scenes):
    code, out, err = cli("predict", box_model, scenes, "--output", scenes / "a.png" / "x")
    assert (code, out) == (2, "")
    assert "cannot be made a folder" in err


def test_folders_are_searched(cli, colour_model, red):
    (red.parent / "._0.jpg").write_bytes(b"resource fork")
    (red.parent / "notes.txt").write_text("no picture")
    code, out, err = cli("predict", colour_model, red.parents[1], "--json", "--top", 1)
    found = {row["image"]: row["predictions"][0]["label"] for row in json.loads(out)}
    assert (code, said(err), len(found)) == (0, ["left out: 2 files that are hidden or no picture"], 9)
    assert all(f"/{label}/" in image for image, label in found.items())


def test_one_bad_picture_does_not_stop_the_others(cli, colour_model, red):
    bad = red.with_name("bad.jpg")
    bad.write_bytes(red.read_bytes()[:100])
    code, out, err = cli("predict", colour_model, bad, red, red.with_name("none.jpg"), "--json", "--top", 1)
    assert code == 1
    first, second, third = json.loads(out)
    assert "damaged" in first["error"]
    assert second["predictions"][0]["label"] == "red"
    assert "No such file" in third["error"]
    lines = said(err)
    assert [line.split(": ")[:2] for line in lines] == [["clary", str(bad)], ["clary", str(red.with_name("none.jpg"))]]


def test_nothing_but_bad_pictures(cli, colour_model, tmp_path):
    code, out, err = cli("predict", colour_model, tmp_path / "none.jpg")
    assert (code, out) == (1, "")
    assert err.startswith("clary: ")


def test_a_run(cli, colour_model, red, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(colour_model, tmp_path / "run" / "model.tar.gz")
    assert "red" in cli("predict", tmp_path / "run", red)[1]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines(cli, colour_model, red, engine):
    assert "red" in cli("predict", colour_model, red, "--engine", engine)[1]


def test_what_cannot_be_used(cli, colour_model, red, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, said in [
        ((tmp_path / "none.tar.gz", red), "none.tar.gz: there is no such model; name a model.tar.gz"),
        ((red, red), "0.jpg: is not a tar archive"),
        ((colour_model, tmp_path / "empty"), "empty: holds no pictures"),
        ((colour_model, red, "--engine", "openvine"), "unknown engines `openvine`"),
    ]:
        code, out, err = cli("predict", *words)
        assert (code, out) == (2, "")
        assert said in err
        assert len(err.splitlines()) == 1
