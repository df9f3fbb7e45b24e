"""Figures as SVG that can be set into any page, and as PNG."""

from __future__ import annotations

import threading
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

from clary.errors import UsageError
from clary.vision.plots._style import BLUE, INK, bare, figure, heading, label
from clary.vision.plots.render import png, svg


def drawn(title="Title"):
    sheet = figure(3, 2)
    axes = sheet.add_subplot()
    bare(axes)
    heading(axes, title)
    axes.plot([1, 2, 3], color=BLUE, marker="o")
    return sheet


def parsed(text):
    return ElementTree.fromstring(text)


def test_nothing_points_outside():
    root = parsed(svg(drawn(), "A chart"))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "g", "path", "use", "text", "defs", "clipPath", "rect"}
    references = [element.get("href") for element in root.iter() if element.get("href")]
    assert references
    assert all(reference.startswith("#") for reference in references)
    own = {element.get("id") for element in root.iter() if element.get("id")}
    assert {reference[1:] for reference in references} <= own


def test_text_stays_text_and_colours_can_be_themed():
    text = svg(drawn("Accuracy"), "A chart")
    root = parsed(text)
    assert "Accuracy" in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert f"var(--blue, {BLUE})" in text
    assert f"var(--ink, {INK})" in text
    assert "font-family" not in text
    assert (root.get("role"), root.get("aria-label")) == ("img", "A chart")
    assert root.get("width") is None


def test_the_same_figure_gives_the_same_text():
    assert svg(drawn(), "A") == svg(drawn(), "A")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a & b", "$x_1$ and $", 'id="x" #24292f', "\u732b\u72ac"]
)
def test_any_name_is_drawn_as_it_is(name, tmp_path):
    root = parsed(svg(drawn(label(name)), name))
    assert name in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert root.get("aria-label") == name
    assert png(drawn(label(name)), tmp_path / "chart.png").is_file()


@pytest.mark.parametrize("name", ["a\x00b", "line\nbreak", "\x1b[31m", "\udcff"])
def test_what_cannot_be_printed_is_replaced(name):
    assert parsed(svg(drawn(label(name)), "A")) is not None
    assert label(name).isprintable()


def test_a_long_name_loses_its_middle():
    assert label("american_pit_bull_terrier_of_the_north", 20) == "american_\N{HORIZONTAL ELLIPSIS}_the_north"
    assert len(label("x" * 99)) == 28
    assert label("short") == "short"


def test_png_is_on_white(tmp_path):
    path = png(drawn(), tmp_path / "chart.png", dpi=50)
    with Image.open(path) as image:
        assert image.size == (150, 100)
        assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        png(drawn(), tmp_path / "file" / "chart.png")


def test_settings_of_the_process_stay_as_they_were():
    before = dict(matplotlib.rcParams)
    threads = [threading.Thread(target=svg, args=(drawn(), "A")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(matplotlib.rcParams) == before
