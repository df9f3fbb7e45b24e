"""The inference contract over HTTP, in process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from clary.vision.inference.app import ATTRIBUTES, create_app
from clary.vision.inference.page import page
from clary.vision.inference.predictor import Model, load
from clary.vision.inference.settings import Settings

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def model(model_archive) -> Iterator[Model]:
    with load(model_archive, streams=2) as model:
        yield model


@pytest.fixture(scope="module")
def client(model) -> Iterator[TestClient]:
    with TestClient(create_app(model, Settings())) as client:
        yield client


class TestInvocations:
    def test_a_picture_gets_its_scores(self, client, model, jpeg):
        answer = client.post("/invocations", content=jpeg(), headers=JPEG)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        np.testing.assert_allclose(answer.json(), model.predict(jpeg())[0].scores, atol=0.01)

    def test_json_lines(self, client, jpeg):
        answer = client.post("/invocations", content=jpeg(), headers={**JPEG, "Accept": "application/jsonlines"})
        assert answer.headers["content-type"] == "application/jsonlines"
        assert list(answer.json()) == ["prediction"]

    @pytest.mark.parametrize(("format", "type_"), [("PNG", "image/png"), ("WEBP", "application/x-image")])
    def test_other_pictures(self, client, encoded, format, type_):
        assert client.post("/invocations", content=encoded(format), headers={"Content-Type": type_}).status_code == 200

    def test_batch_transform_answers_an_object(self, model, jpeg):
        with TestClient(create_app(model, Settings(batch=True))) as client:
            answer = client.post("/invocations", content=jpeg(), headers=JPEG)
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["prediction"]

    @pytest.mark.parametrize(
        ("headers", "body", "status", "text"),
        [
            ({"Content-Type": "text/csv"}, b"1,2", 415, "content-type text/csv not supported; send one of"),
            ({}, b"x", 415, "content-type is missing"),
            ({**JPEG, "Accept": "text/csv"}, b"x", 406, "accept text/csv not supported; ask for application/json"),
            (JPEG, b"no picture", 400, "the body is not a picture"),
            (JPEG, b"", 400, "the body is empty (0 bytes)"),
            (JPEG, bytes((6 << 20) + 1), 413, "the body is larger than 6 MB; shrink the picture or raise SAGEMAKER_"),
        ],
    )
    def test_errors_are_short_text(self, client, headers, body, status, text):
        answer = client.post("/invocations", content=body, headers=headers)
        assert answer.status_code == status
        assert answer.text.startswith(text)
        assert len(answer.text.splitlines()) == 1
        assert answer.headers["content-type"].startswith("text/plain")

    def test_a_body_of_unknown_length_is_cut_off_too(self, client):
        chunks = (bytes(1 << 20) for _ in range(8))
        answer = client.post("/invocations", content=chunks, headers=JPEG)
        assert answer.status_code == 413

    def test_the_limit_can_be_raised_and_lifted(self, model):
        for settings_ in (Settings(max_payload=8), Settings(max_payload=0)):
            with TestClient(create_app(model, settings_)) as client:
                assert client.post("/invocations", content=bytes(7 << 20), headers=JPEG).status_code == 400

    @pytest.mark.parametrize("body", [b"no picture", None])
    def test_custom_attributes_come_back(self, client, jpeg, body):
        headers = {**JPEG, ATTRIBUTES: "trace=1, b=2"}
        answer = client.post("/invocations", content=body or jpeg(), headers=headers)
        assert answer.headers[ATTRIBUTES] == "trace=1, b=2"

    def test_only_post(self, client):
        assert client.get("/invocations").status_code == 405

    def test_damaged_pictures(self, client, jpeg):
        original = jpeg()

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.integers(0, len(original) - 1), st.integers(0, 255), st.booleans())
        def run(place, value, cut):
            body = original[:place] if cut else original[:place] + bytes([value]) + original[place + 1 :]
            assert client.post("/invocations", content=body, headers=JPEG).status_code in (200, 400)

        run()


class TestHealth:
    def test_ping_is_empty(self, client):
        answer = client.get("/ping")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_an_engine_that_fails_and_recovers(self, model, jpeg, monkeypatch, caplog):
        broken = True
        scores = model.scores

        def unsteady(images: np.ndarray) -> np.ndarray:
            if broken:
                raise RuntimeError("out of memory")
            return np.asarray(scores(images))

        monkeypatch.setattr(model, "scores", unsteady)
        with TestClient(create_app(model, Settings())) as client:
            assert client.get("/ping").status_code == 503
            answer = client.post("/invocations", content=jpeg(), headers=JPEG)
            assert (answer.status_code, answer.text) == (500, "the engine failed (out of memory)")
            assert client.get("/ping").status_code == 503
            broken = False
            assert client.get("/ping").status_code == 200
            broken = True
            client.post("/invocations", content=jpeg(), headers=JPEG)
            assert client.get("/ping").status_code == 503
        assert "out of memory" in caplog.text

    def test_a_bad_picture_is_no_failure_of_the_engine(self, client):
        client.post("/invocations", content=b"no picture", headers=JPEG)
        assert client.get("/ping").status_code == 200

    def test_a_full_house_says_when_to_come_back(self, model, jpeg):
        with TestClient(create_app(model, Settings(), limit=0)) as client:
            answer = client.post("/invocations", content=jpeg(), headers=JPEG)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.text == "too many requests are waiting; try again in a second"


class TestParameters:
    def test_execution_parameters(self, client):
        expected = {"MaxConcurrentTransforms": 4, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 6}
        assert client.get("/execution-parameters").json() == expected


class TestPage:
    def test_it_knows_the_labels_and_fetches_nothing(self, client):
        answer = client.get("/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        (labels,) = re.findall(r"const LABELS = (.*);", answer.text)
        assert json.loads(labels) == ["cat", "dog", "fox"]
        assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|https?://|@import""", answer.text)
        assert "default-src 'none'" in answer.headers["content-security-policy"]

    def test_labels_cannot_break_out(self, model):
        labels = ("</script><script>alert(1)</script>", "$about", "<!--")
        network = {"architecture": "<img src=x>"}
        text = page(replace(model.manifest, labels=labels, network=network))
        assert text.count("<script") == 1
        assert "<img src=x>" not in text
        (written,) = re.findall(r"const LABELS = (.*);", text)
        assert tuple(json.loads(written)) == labels
