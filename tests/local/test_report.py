"""The page stands alone, says what is so, and trusts no name."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

import clary
from clary.errors import UsageError
from clary.local import report
from clary.local.evaluate import evaluate
from clary.local.run import Run

VOID = {"meta", "img", "br", "wbr"}


class Page(HTMLParser):
    """Tags, references and text of a page; raises on tags that do not close."""

    def __init__(self, path):
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self.size = path.stat().st_size
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.references.append(value)
            if name == "style":
                self.styles.append(value)
            assert not name.startswith("on")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.styles.append(data)
        elif data.strip():
            self.words.append(data)


@pytest.fixture
def page(colour_run):
    return Page(report.write(colour_run))


def test_it_stands_alone_and_is_small(page):
    assert page.size < 3_000_000
    assert page.references
    assert all(reference.startswith(("data:image/jpeg;base64,", "#")) for reference in page.references)
    assert not any("@import" in style or "url(" in style.replace("url(#", "") for style in page.styles)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)


def test_it_says_what_was_reached(page):
    assert "Accuracy on test 77.8% 7 of 9 right; 95% interval" in page.text
    assert "Pictures 27 12 train, 6 validation, 9 test" in page.text
    assert "Training time 6.5 s best epoch 2 of 3" in page.text
    assert "Training speed 6.0/s pictures a second" in page.text
    assert "trained in bf16 (asked for), judged with openvino in " in page.text
    assert "green taken for red (1), red taken for blue (1)" in page.text


def test_it_says_which_way_was_used(colour_run):
    path = colour_run / "metrics.jsonl"
    path.write_text(path.read_text().replace('"precision": "bf16"', '"precision": "bf16", "way": "folded norms"'))
    assert "trained in bf16, folded norms (asked for), judged with" in Page(report.write(colour_run)).text


def test_it_shows_pictures_and_charts(page):
    assert page.tags.count("img") == 12 + 2
    assert page.tags.count("svg") == 1 + 3 + 1
    assert "taken for blue" in page.text
    for chart in ("Accuracy", "Loss", "Learning rate", "best epoch 2: 90.0%"):
        assert chart in page.text


def test_it_says_how_it_was_made_and_how_to_go_on(page, colour_run):
    images = colour_run.parent / "pictures"
    assert f"clary train classification {images} --epochs 3 --seed 0 --set" in page.text
    assert "--set learning_rate=0.01" in page.text
    assert f"clary predict {colour_run} picture.jpg" in page.text
    assert f"clary serve {colour_run}" in page.text
    assert "clary.load(" in page.text
    assert re.search(r"learning_rate 0\.01 \S+ step size", page.text)
    assert "versions: torch 2.9" in page.text


def test_boxes(box_run):
    page = Page(report.write(box_run))
    assert re.search(r"mAP on test 0\.\d{3} 9 boxes in 6 pictures, at an overlap of 0\.5", page.text)
    assert "Precision and recall" in page.text
    assert "COCO's AP 0." in page.text
    assert "AP at 0.5" in page.text
    assert re.search(r"test\S* 1 missed, 1 of another class", page.text)
    assert "true, missed right wrong" in page.text
    assert "best epoch 2: 0.900" in page.text
    assert f"clary train detection {box_run.parent / 'pictures'} --epochs 3" in page.text
    worst = page.text.count("1 missed")
    assert worst > 0
    assert page.tags.count("img") == worst + 3
    assert page.tags.count("svg") == 1 + 3 + 1
    assert all(reference.startswith(("data:image/jpeg;base64,", "#")) for reference in page.references)


def test_masks(pixel_run):
    page = Page(report.write(pixel_run))
    assert re.search(r"mIOU on test 0\.\d{3} \d\d\.\d% of pixels right in 6 pictures", page.text)
    assert re.search(r"class pixels precision recall IoU red", page.text), "the weakest class first"
    assert "On the left the mask, on the right what was predicted" in page.text
    assert len(re.findall(r"IoU 0\.\d\d; \d+% of it \w+ taken for \w+", page.text)) == 6
    assert "Confusion of pixels" in page.text
    assert f"clary train segmentation {pixel_run.parent / 'pictures'} --epochs 3" in page.text
    assert page.tags.count("img") == 6 + 3
    assert page.tags.count("svg") == 1 + 3
    assert page.size < 3_000_000


@pytest.mark.parametrize(("name", "tile"), [("box_run", "mAP"), ("pixel_run", "mIOU")])
def test_of_other_tasks_what_was_logged(request, name, tile):
    run = request.getfixturevalue(name)
    (run.parent / "pictures").rename(run.parent / "elsewhere")
    page = Page(report.write(run))
    assert f"{tile} on validation 0.900 logged at epoch 2" in page.text


def test_names_are_not_trusted(colours, make_colour_model, make_colour_run, tmp_path):
    evil = "<script>alert('x')</script>&$b$"
    images = colours(tmp_path / "pictures<img src=x>", {"train": 3, "test": 2}, {"test/red/0.jpg": "blue"})
    for split in ("train", "test"):
        (images / split / "red").rename(images / split / evil.replace("/", "\N{FRACTION SLASH}"))
    evil = evil.replace("/", "\N{FRACTION SLASH}")
    model = make_colour_model(tmp_path, ("blue", "green", evil))
    page = Page(report.write(make_colour_run(tmp_path / "run", images, model, network="<b>net</b>")))
    assert not {"script", "b"} & set(page.tags)
    assert evil in page.text
    assert "<b>net</b>" in page.text


def test_bytes_that_are_no_text_can_be_shown(colours, make_colour_run, tmp_path):
    """A folder's name need not be valid Unicode: its class has a name that is."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    images = colours(tmp_path / "pictures", {"train": 2})
    (images / "train" / "red").rename(images / "train" / name)
    page = Page(report.write(make_colour_run(tmp_path / "run", images, None)))
    assert page.tags.count("img") > 0
    assert "café" in page.text


def test_a_data_set_that_has_moved_is_said_and_the_rest_shown(colour_run):
    (colour_run.parent / "pictures").rename(colour_run.parent / "elsewhere")
    page = Page(report.write(colour_run))
    assert "The pictures cannot be shown:" in page.text
    assert "pictures: does not exist" in page.text
    assert "Accuracy on validation 90.0% logged at epoch 2" in page.text
    assert "img" not in page.tags
    assert page.tags.count("svg") == 3 + 1


def test_an_unfinished_run_is_said_and_the_rest_shown(colour_run):
    (colour_run / "model.tar.gz").unlink()
    page = Page(report.write(colour_run))
    assert "The run has not finished" in page.text
    assert "clary predict" not in page.text
    assert page.tags.count("img") == 12


def test_a_run_before_its_first_epoch(colour_run):
    (colour_run / "model.tar.gz").unlink()
    (colour_run / "metrics.jsonl").unlink()
    page = Page(report.write(colour_run))
    assert "not measured yet" in page.text
    assert "Training time" not in page.text


def test_a_model_that_cannot_be_opened_is_said(colour_run):
    (colour_run / "model.tar.gz").write_bytes(b"damaged")
    assert "The model was not evaluated:" in Page(report.write(colour_run)).text


def test_pictures_left_out_are_named(colour_run):
    bad = colour_run.parent / "pictures" / "test" / "red" / "2.jpg"
    bad.write_bytes(b"")
    page = Page(report.write(colour_run))
    assert f"1 picture of test left out: {bad}: is empty" in page.text


def test_an_evaluation_made_already_is_taken(colour_run):
    found = evaluate(colour_run, colour_run.parent / "pictures", split="train")
    page = Page(report.write(Run(colour_run), evaluation=found))
    assert "Accuracy on train 100.0% 12 of 12 right" in page.text
    assert "None: all 12 pictures of train were predicted rightly." in page.text


def test_a_multi_label_run(colours, make_colour_model, make_colour_run, tmp_path):
    images = colours(tmp_path / "pictures", {"train": 2, "test": 2})
    run = make_colour_run(tmp_path / "run", images, make_colour_model(tmp_path, multi_label=True))
    page = Page(report.write(run))
    assert "Accuracy on test 100.0% of labels right; mAP 1.000" in page.text
    assert "Confusion matrix" not in page.text


def test_the_report_of_a_run_is_written_when_asked_for(colour_run):
    path = clary.report(Run(colour_run))
    assert path == colour_run / "report.html"
    first = path.read_text()
    (colour_run / "config.json").write_text(json.dumps(Run(colour_run).config | {"network": "another"}))
    assert Run(colour_run).report == path
    assert Run(colour_run).report.read_text() == first


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a run"):
        report.write(tmp_path)
