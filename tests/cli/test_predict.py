"""``clary predict``."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture
def red(tmp_path, colours):
    """A red picture in a folder of nine, by colour."""
    return colours(tmp_path / "set", {"some": 3}) / "some" / "red" / "0.jpg"


def test_a_picture(cli, colour_model, red):
    code, out, err = cli("predict", colour_model, red)
    assert (code, err) == (0, "")
    header, *rows = [line.split() for line in out.splitlines() if line.strip()]
    assert header == ["image", "class", "score"]
    assert rows[0][:2] == [str(red), "red"]
    assert [len(row) for row in rows] == [3, 2, 2]
    assert float(rows[0][2]) > 0.9


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


def test_folders_are_searched(cli, colour_model, red):
    (red.parent / "._0.jpg").write_bytes(b"resource fork")
    (red.parent / "notes.txt").write_text("no picture")
    code, out, err = cli("predict", colour_model, red.parents[1], "--json", "--top", 1)
    found = {row["image"]: row["predictions"][0]["label"] for row in json.loads(out)}
    assert (code, err, len(found)) == (0, "", 9)
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
    lines = err.splitlines()
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
