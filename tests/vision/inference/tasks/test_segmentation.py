"""Masks: out of a network's outputs, and as answers."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from PIL import Image

from clary.errors import ArtifactError, TooLargeError
from clary.vision.base.recordio import read_records
from clary.vision.base.types import IGNORED, Segmentation
from clary.vision.inference.predictor import Model, load
from clary.vision.inference.tasks.segmentation import SegmentationServing

PNG, RECORD, RECORDIO, LINE = SegmentationServing.responses
NAMES = ("ground", "blue", "green", "red")


def segmentation(classes: np.ndarray, scores: np.ndarray | None = None) -> Segmentation:
    return Segmentation(classes, tuple(str(n) for n in range(256)), scores)


MASKS = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)).map(segmentation)


class TestAnswers:
    @settings(max_examples=40, deadline=None)
    @given(MASKS)
    def test_png(self, prediction):
        image = Image.open(io.BytesIO(PNG.encode(prediction, batch=False)))
        assert (image.format, image.mode) == ("PNG", "P")
        np.testing.assert_array_equal(np.array(image), prediction.classes)

    def test_the_palette_is_that_of_voc(self):
        image = Image.open(io.BytesIO(PNG.encode(segmentation(np.array([[0, 1, 255]], np.uint8)), batch=False)))
        colours = np.array(image.convert("RGB"))[0].tolist()
        assert colours == [[0, 0, 0], [128, 0, 0], [224, 224, 192]]

    @settings(max_examples=40, deadline=None)
    @given(MASKS)
    def test_runs(self, prediction):
        data = LINE.encode(prediction, batch=True)
        assert b"\n" not in data
        found = json.loads(data)["prediction"]
        np.testing.assert_array_equal(
            np.repeat(found["classes"], found["lengths"]).reshape(found["shape"]), prediction.classes
        )
        assert all(a != b for a, b in zip(found["classes"], found["classes"][1:], strict=False))

    @pytest.mark.parametrize("kind", [RECORD, RECORDIO])
    def test_a_record(self, record_type, kind):
        scores = np.random.default_rng(0).random((3, 5, 7), np.float32)
        data = kind.encode(segmentation(scores.argmax(axis=0).astype(np.uint8), scores), batch=False)
        (payload,) = read_records(io.BytesIO(data))
        features = record_type.FromString(payload).features
        shape = list(features["shape"].int32_tensor.values)
        assert shape == [1, 3, 5, 7]
        np.testing.assert_array_equal(np.reshape(features["target"].float32_tensor.values, shape)[0], scores)

    def test_scores_in_the_size_of_the_picture(self, record_type):
        scores = np.random.default_rng(0).random((2, 4, 4), np.float32)
        data = RECORD.encode(segmentation(np.zeros((8, 6), np.uint8), scores), batch=False)
        (payload,) = read_records(io.BytesIO(data))
        features = record_type.FromString(payload).features
        assert list(features["shape"].int32_tensor.values) == [1, 2, 8, 6]
        assert len(features["target"].float32_tensor.values) == 96

    def test_scores_that_were_let_go(self):
        with pytest.raises(ValueError, match="not kept"):
            RECORD.encode(segmentation(np.zeros((2, 2), np.uint8)), batch=False)

    def test_more_than_a_record_holds(self):
        classes = np.broadcast_to(np.uint8(0), (9000, 9000))
        with pytest.raises(TooLargeError, match="9000 x 9000 pixels and 2 classes are too large") as caught:
            RECORD.encode(segmentation(classes, np.zeros((2, 1, 1), np.float32)), batch=False)
        assert caught.value.status == 413


@pytest.fixture(scope="module")
def model(pixel_model):
    with load(pixel_model) as model:
        yield model


def expected(true: list[tuple[int, ...]], height: int, width: int) -> np.ndarray:
    ids = np.zeros((height, width), np.uint8)
    for colour, left, top, right, bottom in true:
        ids[top:bottom, left:right] = colour + 1
    return ids


class TestPredictions:
    @pytest.mark.parametrize("size", [(96, 80), (97, 61), (33, 200), (640, 480)])
    def test_pictures_of_any_size(self, model, rectangle_image, size):
        pixels, true = rectangle_image(3, *(max(side, 60) for side in size))
        (found,) = model.predict(pixels)
        assert found.class_names == NAMES
        np.testing.assert_array_equal(found.classes, expected(true, *pixels.shape[:2]))
        assert found.scores is None

    def test_many_sizes_in_one_call(self, model, rectangle_image):
        images = [rectangle_image(seed, 96 + seed % 3 * 8, 80) for seed in range(9)]
        found = model.predict([pixels for pixels, _ in images], batch_size=9)
        for (pixels, true), one in zip(images, found, strict=True):
            np.testing.assert_array_equal(one.classes, expected(true, *pixels.shape[:2]))

    def test_a_smaller_network_input(self, make_rectangle_model, rectangle_image, tmp_path):
        with load(make_rectangle_model(tmp_path, "segmentation", resize=64)) as model:
            pixels, true = rectangle_image(3, 400, 300)
            (found,) = model.predict(pixels, scores=True)
        assert found.scores.shape == (4, 48, 64)
        assert found.classes.shape == (300, 400)
        right = (found.classes == expected(true, 300, 400)).mean()
        assert 0.97 < right < 1, "only edges are blurred"

    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (3000, 2)])
    def test_tiny_and_thin_pictures(self, model, size):
        (found,) = model.predict(np.full((size[1], size[0], 3), (40, 200, 40), np.uint8))
        assert found.classes.shape == size[::-1]
        assert (found.classes == 2).all()

    def test_scores_can_be_kept(self, model, image):
        (found,) = model.predict(image(), scores=True)
        assert found.scores.dtype == np.float32
        np.testing.assert_allclose(found.scores.sum(axis=0), 1, atol=0.01)
        np.testing.assert_array_equal(found.scores.argmax(axis=0), found.classes)

    def test_keys_are_sizes(self, model, encoded):
        assert model.task.key(encoded("JPEG", 64, 48)) == model.task.key(encoded("PNG", 64, 48)) == (64, 48)
        assert model.task.key(encoded("JPEG", 64, 50)) == (64, 50)
        assert model.task.key(b"no picture") is None

    def test_no_class_is_ignored(self, model, image):
        (found,) = model.predict(image())
        assert found.classes.max() < IGNORED


def test_a_network_of_other_classes_than_the_manifest_says(pixel_model):
    with load(pixel_model) as model:
        object.__setattr__(model.manifest, "labels", NAMES[:3])
        with pytest.raises(ArtifactError, match="tells 4 classes apart, the manifest names 3"):
            Model(model._artifact, model.engine)
