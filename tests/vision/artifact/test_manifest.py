"""The manifest: what is written is read, what is wrong is named."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import ArtifactError
from clary.vision.artifact.manifest import MAX_INPUT, EngineCheck, FileEntry, Input, Manifest, Output, Provenance
from clary.vision.base.preprocessing import Preprocess
from clary.vision.tasks import TASKS

MANIFEST = Manifest(
    task="classification",
    algorithm="image-classification",
    labels=("Abyssinian", "chat noir é"),
    multi_label=True,
    network={"architecture": "timm:resnet18", "num_classes": 2},
    input=Input(
        Preprocess(224, 200, crop="squash"),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        validation=Preprocess(224, 200, 256, "center"),
    ),
    outputs=(Output("scores", "float32", "sigmoid"),),
    metrics={"validation:accuracy": 0.97},
    hyperparameters={"epochs": 5, "lr_scheduler_step": None},
    provenance=Provenance("0.1.0", "2026-01-01T00:00:00Z", "2.15", 7, "pets", {"train": 189}, "old/model.tar.gz"),
    engines={"openvino": EngineCheck(0.003, "bf16", "2026.4")},
    files={"model.onnx": FileEntry("ab" * 32, 17)},
)
WRITTEN = json.loads(MANIFEST.to_json())


def changed(path: str, value: object) -> str:
    """The manifest with the key at ``path`` (dots between keys) set, or left out when ``value`` is ``...``."""
    document = json.loads(MANIFEST.to_json())
    *way, last = path.split(".")
    place = document
    for key in way:
        place = place[int(key) if isinstance(place, list) else key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document)


def refusal(text: str | bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        Manifest.from_json(text, where="m.json")
    line = str(caught.value)
    assert line.startswith("m.json: ")
    assert line.isprintable()
    assert caught.value.hint
    return line


class TestRoundTrip:
    def test_what_is_written_is_read(self):
        assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST

    def test_text_is_stable(self):
        assert Manifest.from_json(MANIFEST.to_json()).to_json() == MANIFEST.to_json()

    def test_unknown_keys_are_tolerated(self):
        for path in ("extra", "input.extra", "provenance.extra", "engines.openvino.extra", "outputs.0.extra"):
            assert Manifest.from_json(changed(path, {"any": 1})) == MANIFEST

    @pytest.mark.parametrize("key", ["metrics", "hyperparameters", "engines", "files", "multi_label"])
    def test_keys_that_may_be_absent(self, key):
        assert not getattr(Manifest.from_json(changed(key, ...)), key)

    def test_a_metric_that_is_no_number_survives(self):
        text = replace(MANIFEST, metrics={"loss": math.nan, "top": math.inf}).to_json()
        assert json.loads(text, parse_constant=pytest.fail)["metrics"] == {"loss": None, "top": None}
        assert math.isnan(Manifest.from_json(text).metrics["loss"])

    @settings(max_examples=50, deadline=None)
    @given(
        labels=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, unique=True).map(tuple),
        side=st.integers(1, 16_384),
        metrics=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)),
    )
    def test_any_manifest(self, labels, side, metrics):
        network = {**MANIFEST.network, "num_classes": len(labels)}
        how = Preprocess(side, min(16_384, MAX_INPUT // side))
        manifest = replace(MANIFEST, labels=labels, network=network, input=Input(how), metrics=metrics)
        assert Manifest.from_json(manifest.to_json()) == manifest


WHOLE = replace(
    MANIFEST,
    task="segmentation",
    algorithm="semantic-segmentation",
    multi_label=False,
    input=Input(Preprocess.whole(480, 32)),
    outputs=TASKS.get("segmentation").outputs,
)
BOXES = replace(MANIFEST, task="detection", algorithm="object-detection", outputs=TASKS.get("detection").outputs)


class TestTasks:
    @pytest.mark.parametrize("manifest", [WHOLE, BOXES, replace(WHOLE, input=Input(Preprocess.whole()))])
    def test_what_is_written_is_read(self, manifest):
        assert Manifest.from_json(manifest.to_json()) == manifest

    def test_a_whole_picture_has_no_size_of_its_own(self):
        written = json.loads(WHOLE.to_json())["input"]
        assert (written["height"], written["width"], written["resize"], written["crop"]) == (None, None, 480, "whole")

    def test_an_older_clary_reads_what_it_can_serve_and_no_more(self):
        assert [json.loads(m.to_json())["format_version"] for m in (MANIFEST, BOXES, WHOLE)] == [1, 2, 2]

    @pytest.mark.parametrize(
        ("manifest", "change", "said"),
        [
            (BOXES, {"outputs": WRITTEN["outputs"]}, "`outputs` of detection must be boxes and scores"),
            (BOXES, {"outputs": json.loads(BOXES.to_json())["outputs"][::-1]}, "must be boxes and scores"),
            (WHOLE, {"outputs": []}, "`outputs` of segmentation must be scores"),
            (WHOLE, {"labels": [f"c{n}" for n in range(256)]}, "`labels` are 256, a pixel has one of at most 255"),
            (BOXES, {"input": {**WRITTEN["input"], "crop": "squash", "height": None}}, "`input.height` is None"),
        ],
    )
    def test_what_does_not_fit_the_task(self, manifest, change, said):
        assert said in refusal(json.dumps({**json.loads(manifest.to_json()), **change}))


class TestWrongValues:
    @pytest.mark.parametrize(
        "key", sorted({*WRITTEN} - {"metrics", "hyperparameters", "engines", "files", "multi_label"})
    )
    def test_a_missing_key_is_named(self, key):
        assert f"`{key}` is missing" in refusal(changed(key, ...))

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            ("task", "poetry", "`task` is 'poetry', not \"classification\" or"),
            ("algorithm", 3, "`algorithm` is 3, not a string"),
            ("labels", [], "`labels` must be different names"),
            ("labels", ["a", "a"], "`labels` must be different names"),
            ("labels", ["a", 1], "not a list of strings"),
            ("labels", ["\ud800"], "not a list of strings"),
            ("multi_label", "yes", "`multi_label` is 'yes', not true or false"),
            ("network", [], "`network` is [], not an object"),
            ("input.height", "224", "`input.height` is '224', not a whole number"),
            ("input.height", True, "`input.height` is True, not a whole number"),
            ("input.width", 0, "`input.width` is 0, it must be at least 1"),
            ("input.width", 10**9, "at most 16384"),
            ("input.crop", "oval", "`input.crop`"),
            ("input.layout", "NCHW", "`input.layout` is 'NCHW', not \"NHWC\""),
            ("input.mean", [0.5, None], "`input.mean`"),
            ("input.validation_crop.resize", 1.5, "`input.validation_crop.resize`"),
            ("outputs", {}, "`outputs` is an object, not a list"),
            ("outputs.0", ..., "`outputs.0.name`"),
            ("metrics.validation:accuracy", "high", "`metrics.validation:accuracy`"),
            ("provenance.counts.train", 1.5, "`provenance.counts.train`"),
            ("engines.openvino.precision", "int3", "`engines.openvino.precision`"),
            ("engines.openvino.largest_difference", None, "`engines.openvino.largest_difference`"),
            ("files.model.onnx", ..., "`files.model.onnx`"),
        ],
    )
    def test_a_wrong_value_is_named(self, path, value, said):
        if path == "files.model.onnx":
            text = json.dumps({**WRITTEN, "files": {"model.onnx": None}})
        elif path == "outputs.0":
            text = changed("outputs", [{}])
        else:
            text = changed(path, value)
        assert said in refusal(text)

    def test_a_digest_must_be_one(self):
        assert "64 hexadecimal" in refusal(json.dumps({**WRITTEN, "files": {"a": {"sha256": "xy", "bytes": 1}}}))

    @pytest.mark.parametrize(
        "text", ["", "[]", "null", "{", b"\xff", "[" * 100_000, '{"format_version": 1e999}', "[NaN]"]
    )
    def test_what_is_no_manifest(self, text):
        refusal(text)


class TestVersions:
    def test_a_newer_one_names_the_clary_that_wrote_it(self):
        text = json.dumps({**WRITTEN, "format_version": 3, "provenance": {"clary": "3.1"}})
        assert "clary 3.1 wrote it: pip install --upgrade 'clary>=3.1'" in refusal(text)

    @pytest.mark.parametrize("provenance", [None, {}, {"clary": "1; rm -rf /"}])
    def test_a_newer_one_of_unknown_layout(self, provenance):
        line = refusal(json.dumps({"format_version": 99, "provenance": provenance}))
        assert "format version 99" in line
        assert line.endswith("update clary")

    @pytest.mark.parametrize("version", [0, -1, "1", None])
    def test_what_is_no_version(self, version):
        assert "`format_version`" in refusal(json.dumps({**WRITTEN, "format_version": version}))


class TestFuzz:
    JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_a_changed_value_is_read_or_refused(self, data):
        document = json.loads(MANIFEST.to_json())
        place, steps = document, data.draw(st.integers(0, 3))
        key = data.draw(st.sampled_from(sorted(document)))
        for _ in range(steps):
            if not isinstance(place[key], (dict, list)) or not place[key]:
                break
            place = place[key]
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place[key] = data.draw(self.JSON)
        line = ""
        try:
            Manifest.from_json(json.dumps(document)).to_json()
        except ArtifactError as error:
            line = str(error)
        assert "\n" not in line

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data):
        with pytest.raises(ArtifactError):
            Manifest.from_json(data)


class TestReading:
    def test_a_file(self, tmp_path):
        (tmp_path / "manifest.json").write_text(MANIFEST.to_json())
        assert Manifest.read(tmp_path / "manifest.json") == MANIFEST

    def test_no_file(self, tmp_path):
        with pytest.raises(ArtifactError, match=r"none\.json: cannot be read"):
            Manifest.read(tmp_path / "none.json")

    def test_a_huge_file(self, tmp_path):
        with (tmp_path / "manifest.json").open("wb") as file:
            file.truncate(17 << 20)
        with pytest.raises(ArtifactError, match="larger than 16 MiB"):
            Manifest.read(tmp_path / "manifest.json")
