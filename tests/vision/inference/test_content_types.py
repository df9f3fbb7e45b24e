"""Which body is taken, and which is given back."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import ImageError, NotAcceptableError, UnsupportedMediaTypeError
from clary.vision.base import decoding
from clary.vision.inference.content_types import request_type, response_type
from clary.vision.inference.tasks import MODEL_TASKS

CLASSIFICATION = MODEL_TASKS.get("classification").responses
DETECTION = MODEL_TASKS.get("detection").responses
SEGMENTATION = MODEL_TASKS.get("segmentation").responses


class TestRequests:
    @pytest.mark.parametrize(
        "content_type",
        ["image/jpeg", "image/png", "application/x-image", "IMAGE/JPEG", "image/png; x=1", "image/webp", " image/gif"],
    )
    def test_taken(self, content_type):
        assert request_type(content_type).image(b"body") == b"body"

    @pytest.mark.parametrize(
        "content_type",
        ["image/jpg", "application/jpeg", "image/pjpeg", "application/png", "image/heic", "image/avif", "image/tiff"],
    )
    def test_other_types_and_spellings_are_taken(self, content_type):
        assert request_type(content_type).image(b"body") == b"body"

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
    def test_a_picture_as_text(self, format, encoded):
        data = encoded(format)
        text = base64.b64encode(data)
        for body in (text, b'"%s"' % text, base64.encodebytes(data), b"data:image/jpeg;base64," + text):
            assert request_type("image/jpeg").image(body) == data
        assert request_type("image/jpeg").image(b'"data:image/png;base64,%s"\n' % text) == data

    @pytest.mark.parametrize("format", ["BMP", "AVIF"])
    def test_a_picture_as_text_that_only_a_url_can_tell(self, format, encoded):
        text = base64.b64encode(encoded(format))
        assert request_type("image/bmp").image(b"data:image/x;base64," + text) == encoded(format)
        assert request_type("image/bmp").image(text) == text

    @pytest.mark.parametrize("body", [b"data:image/png;base64,####", b"/9j/", b"data:text/plain,hello", b"hello"])
    def test_what_is_no_picture_as_text_is_left_to_the_decoder(self, body):
        with pytest.raises(ImageError):
            decoding.load(request_type("image/jpeg").image(body))

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
    def test_a_picture_is_never_taken_for_text(self, format, encoded):
        for seed in range(20):
            data = encoded(format, seed=seed)
            assert request_type("image/jpeg").image(data) is data

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
        found = response_type(accept, CLASSIFICATION)
        assert found.media_type == f"application/{name}"

    @pytest.mark.parametrize(
        ("accept", "number"),
        [
            (None, 0),
            ("*/*", 0),
            ("application/json", 0),
            ("application/json;annotation=1", 1),
            ("application/json; Annotation=1; charset=utf-8", 1),
            ('application/json;annotation="1"', 1),
            ("application/json;annotation=0", 0),
            ("application/json;annotation=1;q=0.5, application/jsonlines", 2),
            ("application/jsonlines;annotation=1", 2),
        ],
    )
    def test_parameters(self, accept, number):
        assert response_type(accept, DETECTION) is DETECTION[number]

    @pytest.mark.parametrize(
        ("accept", "media_type"),
        [
            (None, "image/png"),
            ("*/*", "image/png"),
            ("image/*", "image/png"),
            ("application/*", "application/x-protobuf"),
            ("application/x-recordio-protobuf", "application/x-recordio-protobuf"),
            ("image/webp, application/jsonlines", "application/jsonlines"),
        ],
    )
    def test_of_segmentation(self, accept, media_type):
        assert response_type(accept, SEGMENTATION).media_type == media_type

    @pytest.mark.parametrize("accept", ["text/csv", "image/png, text/*", "application/json;q=0", "*/*;q=0", "rubbish"])
    def test_refused(self, accept):
        with pytest.raises(NotAcceptableError) as caught:
            response_type(accept, CLASSIFICATION)
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
            assert response_type(accept, DETECTION) in DETECTION
        except NotAcceptableError as error:
            line = str(error)
        assert line == "" or (line.isprintable() and len(line) < 200)
