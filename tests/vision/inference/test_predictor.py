"""Predicting from Python."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import clary
from clary.errors import ArtifactError, ImageError, MissingPackageError, UsageError
from clary.vision.artifact.agreement import difference
from clary.vision.base.preprocessing import prepare
from clary.vision.base.types import Prediction
from clary.vision.inference.predictor import Model, load


@pytest.fixture(scope="module")
def model(model_archive):
    with load(model_archive) as model:
        yield model


def scores(predictions: list[Prediction]) -> np.ndarray:
    return np.stack([prediction.scores for prediction in predictions])


class TestKindsOfPictures:
    def test_all_kinds_give_the_same(self, model, encoded, tmp_path):
        data = encoded("PNG", 100, 80)
        (tmp_path / "a.png").write_bytes(data)
        image = Image.open(io.BytesIO(data))
        kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), data, bytearray(data), image, np.asarray(image)]
        found = scores(model.predict(kinds))
        np.testing.assert_array_equal(found, np.repeat(found[:1], len(kinds), axis=0))

    def test_one_picture_alone(self, model, jpeg):
        (prediction,) = model.predict(jpeg())
        assert prediction.label in ("cat", "dog", "fox")
        assert prediction.scores.sum() == pytest.approx(1, abs=1e-3)
        assert prediction.top(1) == [(prediction.label, prediction.score)]

    def test_one_array_and_a_batch_of_them(self, model, image):
        images = np.stack([image(64, 48, seed) for seed in range(3)])
        np.testing.assert_array_equal(scores(model.predict(images)), model.engine(images)[0])
        assert len(model.predict(images[0])) == 1

    def test_pictures_are_prepared_as_the_manifest_says(self, model, jpeg):
        data = jpeg(300, 200)
        (expected,) = model.engine(prepare(data, model.manifest.input.how)[None])
        np.testing.assert_array_equal(scores(model.predict([data])), expected)

    def test_none(self, model):
        assert model.predict([]) == []


class TestMany:
    @pytest.mark.parametrize("batch_size", [1, 3, 100])
    def test_order_is_kept(self, model, jpeg, batch_size):
        images = [jpeg(seed=seed) for seed in range(10)]
        alone = scores([model.predict(one)[0] for one in images])
        found = scores(model.predict(images, batch_size=batch_size))
        np.testing.assert_allclose(found, alone, atol=0.01)
        assert np.ptp(alone, axis=0).max() > 0.2

    def test_each_streams_and_puts_errors_in_their_place(self, model, jpeg):
        def images():
            for place in range(10):
                assert place < 6, "read ahead of what was asked"
                yield b"no picture" if place == 2 else jpeg(seed=place)

        results = model.predict_each(images(), batch_size=3)
        first = [next(results) for _ in range(5)]
        assert [isinstance(one, ImageError) for one in first] == [False, False, True, False, False]


class TestBadPictures:
    def test_a_path_is_named(self, model, tmp_path, jpeg):
        (tmp_path / "bad.jpg").write_bytes(jpeg()[:200])
        with pytest.raises(ImageError, match=r"bad\.jpg: is damaged"):
            model.predict([jpeg(), tmp_path / "bad.jpg"])

    @pytest.mark.parametrize("bad", [b"", b"nothing", np.zeros((3, 3), np.float32), 7, None])
    def test_the_place_is_named(self, model, jpeg, bad):
        with pytest.raises(ImageError, match=r"^pictures\[9\]: "):
            model.predict([jpeg()] * 9 + [bad], batch_size=4)

    def test_a_missing_file(self, model):
        with pytest.raises(ImageError, match=r"none\.jpg: cannot be read \(No such file"):
            model.predict("none.jpg")


class TestPrecision:
    @pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
    @pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
    def test_fp32_is_what_eager_torch_computes(self, request, engine, task, image):
        name = {"classification": "model_folder", "detection": "detector_folder", "segmentation": "segmenter_folder"}[
            task
        ]
        path = request.getfixturevalue(name)
        with clary.load(path, engine, precision="fp32") as model, load(path, "torch") as reference:
            prepared = np.stack([model.prepare(image(96, 80, seed)).pixels for seed in range(4)])
            found = difference(task, [reference.engine(prepared)], [model.engine(prepared)])
            assert str(model.engine) == f"{engine} in fp32"
            assert found.fault(task, "fp32") == ""

    def test_auto_is_what_it_says(self, model_folder):
        with load(model_folder) as model:
            assert str(model.engine) == f"openvino in {model.engine.precision}"

    def test_another(self, model_folder):
        with pytest.raises(UsageError) as caught:
            load(model_folder, precision="fp16")
        assert str(caught.value) == "unknown precision `fp16`; choose auto or fp32"


class TestLoading:
    def test_what_it_knows(self, model):
        assert model.labels == ("cat", "dog", "fox")
        assert model.manifest.metrics == {"validation:accuracy": 0.5}
        assert isinstance(model, Model)

    def test_from_the_top(self, model_folder):
        with clary.load(model_folder, engine="onnxruntime") as model:
            assert model.engine.name == "onnxruntime"

    def test_a_run(self, model_archive, tmp_path):
        shutil.copy(model_archive, tmp_path / "model.tar.gz")
        with load(tmp_path) as model:
            assert model.labels == ("cat", "dog", "fox")

    def test_nothing_is_left_on_disk_while_it_predicts(self, model_archive, jpeg, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with load(model_archive) as model:
            assert list(tmp_path.iterdir()) == []
            assert len(model.predict(jpeg())) == 1
        model.close()

    @pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
    def test_no_engine_needs_the_files_any_more(self, model_archive, jpeg, engine):
        with load(model_archive, engine) as model:
            assert not model._artifact.folder.exists()
            assert len(model.predict([jpeg(seed=seed) for seed in range(5)])) == 5

    def test_a_folder_of_the_user_stays(self, model_folder):
        load(model_folder).close()
        assert (model_folder / "manifest.json").is_file()

    def test_a_model_that_no_engine_takes_leaves_nothing(self, model_folder, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(ArtifactError):
            load(tmp_path / "none.tar.gz")
        assert list(tmp_path.iterdir()) == []

    def test_an_engine_that_is_not_installed(self, model_archive, monkeypatch):
        monkeypatch.setattr("clary.vision.inference.engines._base.find_spec", lambda name: None)
        with pytest.raises(MissingPackageError, match=r"clary\[serve\]"):
            load(model_archive)

    def test_no_tensor_library_is_loaded(self, model_archive, jpeg, tmp_path):
        (tmp_path / "a.jpg").write_bytes(jpeg())
        program = (
            f"import sys, clary\nclary.load({str(model_archive)!r}).predict({str(tmp_path / 'a.jpg')!r})\n"
            "assert 'openvino' in sys.modules\n"
            "assert not {'torch', 'onnx', 'onnxruntime', 'torchvision', 'timm'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], check=True)
