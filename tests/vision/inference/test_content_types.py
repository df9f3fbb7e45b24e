"""Which body is taken, and which is given back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import NotAcceptableError, UnsupportedMediaTypeError
from clary.vision.base.types import Prediction
from clary.vision.inference.content_types import RESPONSES, request_type, response_type

PREDICTION = Prediction(np.array([0.25, 0.5, 0.25], np.float32), ("a", "b", "c"))


class TestRequests:
    @pytest.mark.parametrize(
        "content_type",
        ["image/jpeg", "image/png", "application/x-image", "IMAGE/JPEG", "image/png; x=1", "image/webp", " image/gif"],
    )
    def test_taken(self, content_type):
        assert request_type(content_type).picture(b"body") == b"body"

    @pytest.mark.parametrize("content_type", ["application/octet-stream", "text/csv", "image/svg+xml", "image", "x\n"])
    def test_refused(self, content_type):
        with pytest.raises(UnsupportedMediaTypeError) as caught:
            request_type(content_type)
        assert caught.value.status == 415
        assert str(caught.value).startswith(
            f"content-type {content_type.strip()} not supported; send one of image/jpeg"
        )
        assert "webp" not in str(caught.value), "an extension is not advertised"

    @pytest.mark.parametrize("content_type", [None, "", "  "])
    def test_missing(self, content_type):
        with pytest.raises(UnsupportedMediaTypeError, match="content-type is missing"):
            request_type(content_type)


class TestResponses:
    @pytest.mark.parametrize(
        ("accept", "name"),
        [
            (None, "json"),
            ("", "json"),
            ("*/*", "json"),
            ("application/*", "json"),
            ("application/json", "json"),
            ("Application/JSON; charset=utf-8", "json"),
            ("application/jsonlines", "jsonlines"),
            ("application/jsonlines, application/json", "json"),
            ("application/json;q=0.5, application/jsonlines", "jsonlines"),
            ("text/csv, application/jsonlines;q=0.1", "jsonlines"),
            ("application/json;q=0, */*", "jsonlines"),
            ("application/json;q=0.2, */*;q=0.9", "jsonlines"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
            ("application/json;q=high", "json"),
            (",,application/json,", "json"),
        ],
    )
    def test_negotiation(self, accept, name):
        assert response_type(accept).name == name

    @pytest.mark.parametrize("accept", ["text/csv", "image/png, text/*", "application/json;q=0", "*/*;q=0", "rubbish"])
    def test_refused(self, accept):
        with pytest.raises(NotAcceptableError) as caught:
            response_type(accept)
        assert caught.value.status == 406
        assert str(caught.value).endswith("not supported; ask for application/json or application/jsonlines")

    @settings(max_examples=150, deadline=None)
    @given(
        st.text(max_size=60)
        | st.lists(st.sampled_from(["*/*", ";q=", "0", ".5", ",", "application/json"])).map("".join)
    )
    def test_any_header_is_answered_or_refused(self, accept):
        line = ""
        try:
            assert response_type(accept) in list(RESPONSES)
        except NotAcceptableError as error:
            line = str(error)
        assert line == "" or (line.isprintable() and len(line) < 200)


class TestBodies:
    @pytest.mark.parametrize(
        ("name", "batch", "body"),
        [
            ("json", False, [0.25, 0.5, 0.25]),
            ("json", True, {"prediction": [0.25, 0.5, 0.25]}),
            ("jsonlines", False, {"prediction": [0.25, 0.5, 0.25]}),
            ("jsonlines", True, {"prediction": [0.25, 0.5, 0.25]}),
        ],
    )
    def test_form(self, name, batch, body):
        data = RESPONSES.get(name).encode(PREDICTION, batch=batch)
        assert json.loads(data) == body
        assert b"\n" not in data

    def test_numbers_are_exact(self):
        scores = np.random.default_rng(0).random(50, np.float32)
        data = RESPONSES.get("json").encode(Prediction(scores, ()), batch=False)
        np.testing.assert_array_equal(np.array(json.loads(data), np.float32), scores)
