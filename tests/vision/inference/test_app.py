"""The inference contract over HTTP, in process."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from clary.vision.base.recordio import read_records
from clary.vision.inference import app as app_module
from clary.vision.inference.admission import Admission
from clary.vision.inference.app import ATTRIBUTES, create_app
from clary.vision.inference.callers import HostNames
from clary.vision.inference.page import page
from clary.vision.inference.predictor import Model, load
from clary.vision.inference.server_settings import ServerSettings

JPEG = {"Content-Type": "image/jpeg"}
DOCUMENT = {"Sec-Fetch-Dest": "document"}


@pytest.fixture(scope="module")
def model(model_archive) -> Iterator[Model]:
    with load(model_archive, streams=2) as model:
        yield model


@pytest.fixture(scope="module")
def client(model) -> Iterator[TestClient]:
    with TestClient(create_app(model, ServerSettings())) as client:
        yield client


@pytest.fixture(scope="module")
def public(model) -> Iterator[TestClient]:
    """On a port that browsers reach."""
    app = create_app(model, ServerSettings(), names=HostNames("127.0.0.1"))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client:
        yield client


class TestCallers:
    def test_programs_and_the_own_page(self, public, jpeg):
        own = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
        for headers in ({}, own):
            answer = public.post("/invocations", content=jpeg(), headers=JPEG | headers)
            assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        page = public.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"} | DOCUMENT)
        assert page.status_code == 200
        assert page.headers["content-security-policy"].startswith("default-src 'none'")

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Host": "evil.example:8080"}, 421),
            ({"Origin": "http://evil.example"}, 403),
            ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ],
    )
    def test_pages_of_others(self, public, jpeg, headers, status):
        for method, path in (("POST", "/invocations"), ("GET", "/ping"), ("GET", "/"), ("GET", "/nothing")):
            answer = public.request(method, path, content=jpeg(), headers=JPEG | headers)
            assert answer.status_code == status
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.headers["x-content-type-options"] == "nosniff"


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
        with TestClient(create_app(model, ServerSettings(batch=True))) as client:
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
        for settings_ in (ServerSettings(max_payload=8), ServerSettings(max_payload=0)):
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


@pytest.fixture(scope="module")
def boxes(box_model) -> Iterator[TestClient]:
    with load(box_model, streams=2) as model, TestClient(create_app(model, ServerSettings())) as client:
        yield client


@pytest.fixture(scope="module")
def pixels(pixel_model) -> Iterator[TestClient]:
    with load(pixel_model, streams=2) as model, TestClient(create_app(model, ServerSettings())) as client:
        yield client


def as_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def ask(client: TestClient, pixels: np.ndarray, accept: str | None = None) -> Any:
    headers = {"Content-Type": "image/png"} | ({"Accept": accept} if accept else {})
    answer = client.post("/invocations", content=as_png(pixels), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


class TestBoxes:
    def test_healthy(self, boxes):
        assert boxes.get("/ping").status_code == 200

    @pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/jsonlines"])
    def test_rows(self, boxes, rectangle_image, accept):
        image, true = rectangle_image(1, 200, 160)
        answer = ask(boxes, image, accept)
        assert answer.headers["content-type"] == (accept or "application/json").replace("*/*", "application/json")
        rows = answer.json()["prediction"]
        assert sorted(row[0] for row in rows) == sorted(float(colour) for colour, *_ in true)
        assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
        for colour, *place in true:
            (row,) = [row for row in rows if row[0] == colour]
            np.testing.assert_allclose(np.array(row[2:]) * [200, 160, 200, 160], place, atol=5)

    def test_annotations(self, boxes, rectangle_image):
        image, true = rectangle_image(0, 200, 160)
        answer = ask(boxes, image, "application/json;annotation=1")
        ((colour, left, top, right, bottom),) = true
        assert answer.json()["image_size"] == [{"width": 200, "height": 160, "depth": 3}]
        (found,) = answer.json()["annotations"]
        assert found["class_id"] == colour
        place = [found[name] for name in ("left", "top", "width", "height")]
        assert all(isinstance(number, int) for number in place)
        np.testing.assert_allclose(place, [left, top, right - left, bottom - top], atol=5)

    def test_nothing_is_there(self, boxes):
        assert ask(boxes, np.full((50, 60, 3), 120, np.uint8)).json() == {"prediction": []}

    def test_no_picture(self, boxes):
        answer = boxes.post("/invocations", content=b"nothing", headers=JPEG)
        assert (answer.status_code, answer.text.split(";")[0]) == (400, "the body is not a picture\n")


class TestPixels:
    def test_healthy(self, pixels):
        assert pixels.get("/ping").status_code == 200

    @pytest.mark.parametrize("accept", [None, "*/*", "image/png", "image/png, */*;q=0.1"])
    @pytest.mark.parametrize("size", [(96, 80), (131, 77)])
    def test_a_mask(self, pixels, rectangle_image, accept, size):
        image, true = rectangle_image(3, *size)
        answer = ask(pixels, image, accept)
        assert answer.headers["content-type"] == "image/png"
        mask = Image.open(io.BytesIO(answer.content))
        assert (mask.mode, mask.size) == ("P", size)
        np.testing.assert_array_equal(np.array(mask), wanted(true, image))

    @pytest.mark.parametrize("accept", ["application/x-protobuf", "application/x-recordio-protobuf"])
    def test_scores(self, pixels, rectangle_image, record_type, accept):
        image, true = rectangle_image(1)
        answer = ask(pixels, image, accept)
        assert answer.headers["content-type"] == accept
        (payload,) = read_records(io.BytesIO(answer.content))
        features = record_type.FromString(payload).features
        shape = list(features["shape"].int32_tensor.values)
        assert shape == [1, 4, 80, 96]
        scores = np.reshape(features["target"].float32_tensor.values, shape)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=0.01)
        np.testing.assert_array_equal(scores.argmax(axis=1)[0], wanted(true, image))

    def test_json_lines(self, pixels, rectangle_image):
        image, true = rectangle_image(1)
        found = ask(pixels, image, "application/jsonlines").json()["prediction"]
        np.testing.assert_array_equal(
            np.repeat(found["classes"], found["lengths"]).reshape(found["shape"]), wanted(true, image)
        )

    def test_json_is_not_offered(self, pixels):
        answer = pixels.post("/invocations", content=b"x", headers={**JPEG, "Accept": "application/json"})
        assert answer.status_code == 406
        assert "ask for image/png or application/x-protobuf or" in answer.text

    def test_many_sizes_at_once(self, pixels, rectangle_image):
        images = [rectangle_image(seed, 96 + seed % 3 * 8, 80) for seed in range(12)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda one: ask(pixels, one[0]).content, images))
        for (image, true), content in zip(images, answers, strict=True):
            np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(content))), wanted(true, image))


def wanted(true: list[tuple[int, ...]], image: np.ndarray) -> np.ndarray:
    ids = np.zeros(image.shape[:2], np.uint8)
    for colour, left, top, right, bottom in true:
        ids[top:bottom, left:right] = colour + 1
    return ids


class TestHealth:
    def test_ping_is_empty(self, client):
        answer = client.get("/ping")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_an_engine_that_fails_and_recovers(self, model, jpeg, monkeypatch, caplog):
        broken = True
        engine = model.engine

        class Unsteady:
            streams = 1

            def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
                if broken:
                    raise RuntimeError("out of memory")
                return tuple(engine(images))

        monkeypatch.setattr(model, "engine", Unsteady())
        with TestClient(create_app(model, ServerSettings())) as client:
            assert client.get("/ping").status_code == 503
            answer = client.post("/invocations", content=jpeg(), headers=JPEG)
            assert (answer.status_code, answer.text) == (500, "the engine failed (out of memory)\n")
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


class TestManyCallers:
    def test_a_full_house_says_when_to_come_back(self, model, jpeg):
        with TestClient(create_app(model, ServerSettings(), admission=Admission(0))) as client:
            answer = client.post("/invocations", content=jpeg(), headers=JPEG)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.text == "too many requests are waiting; try again in a second\n"

    def test_two_hundred_at_once_are_all_answered(self, model, jpeg):
        async def scene(app: Any) -> None:
            calls = [Call(app, jpeg(seed=number)) for number in range(200)]
            await asyncio.gather(*(call.run() for call in calls))
            assert [call.status for call in calls] == [200] * 200

        play(model, scene)

    def test_seventy_who_never_end_their_bodies_keep_nobody_out(self, model, jpeg):
        async def scene(app: Any) -> None:
            slow = [Call(app, jpeg()[:-1], whole=False) for _ in range(70)]
            begun = [asyncio.create_task(call.run()) for call in slow]
            await until(lambda: all(call.asked for call in slow))
            call = Call(app, jpeg())
            await call.run()
            assert call.status == 200
            for one in slow:
                one.gone.set()
            await asyncio.gather(*begun)

        play(model, scene)

    def test_who_goes_leaves_the_queue(self, model, jpeg, engine_at_a_gate):
        async def scene(app: Any) -> None:
            calls = [Call(app, jpeg(seed=number)) for number in range(3)]
            running = [asyncio.create_task(calls[0].run())]
            await until(lambda: engine_at_a_gate.sizes)
            running += [asyncio.create_task(call.run()) for call in calls[1:]]
            await until(lambda: all(call.asked > 1 for call in calls))
            calls[1].gone.set()
            await running[1]
            engine_at_a_gate.gate.set()
            await asyncio.gather(*running)
            assert [call.status for call in calls] == [200, 400, 200]
            assert sum(engine_at_a_gate.sizes) == 2, "a picture nobody waits for is not computed"

        play(model, scene)

    def test_a_turn_that_does_not_come(self, model, jpeg, engine_at_a_gate):
        async def scene(app: Any) -> None:
            call = Call(app, jpeg())
            await call.run()
            assert (call.status, call.headers[b"retry-after"]) == (503, b"1")
            assert call.body == b"its turn did not come within 0.01 seconds; try again in a second\n"
            engine_at_a_gate.gate.set()

        play(model, scene, limit=0.01)

    def test_a_body_that_does_not_come(self, model, jpeg, monkeypatch):
        monkeypatch.setattr(app_module, "ARRIVAL_LIMIT", 0.01)

        async def scene(app: Any) -> None:
            call = Call(app, jpeg()[:-1], whole=False)
            await call.run()
            assert (call.status, call.body) == (408, b"the body did not come within 0.01 seconds\n")

        play(model, scene)

    def test_bodies_that_fill_memory(self, model, jpeg):
        async def scene(app: Any) -> None:
            slow = Call(app, bytes(1000), whole=False)
            begun = asyncio.create_task(slow.run())
            await until(lambda: slow.asked > 1)
            call = Call(app, jpeg())
            await call.run()
            assert (call.status, call.headers[b"retry-after"]) == (503, b"1")
            slow.gone.set()
            await begun
            call = Call(app, jpeg())
            await call.run()
            assert call.status == 200

        play(model, scene, admission=Admission(memory=1000))


class Call:
    """One request without a server between. ``whole``: its body ends. ``asked`` counts how often it was asked for."""

    def __init__(self, app: Any, body: bytes, *, whole: bool = True) -> None:
        self._app, self._sent, self._whole = app, body, whole
        self.asked, self.gone = 0, asyncio.Event()
        self.status, self.headers, self.body = 0, dict[bytes, bytes](), b""

    async def run(self) -> None:
        headers = [(b"content-type", b"image/jpeg")]
        scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": self._sent, "more_body": not self._whole}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.headers |= dict(message.get("headers", ()))
        self.body += message.get("body", b"")


class GatedEngine:
    """An engine that holds pictures at a gate; ``sizes`` are those of the batches it was given, once it was warm."""

    streams = 1

    def __init__(self, engine: Any) -> None:
        self._engine, self.gate, self.sizes = engine, threading.Event(), list[int]()
        self._warm = False

    def __call__(self, images: np.ndarray) -> Any:
        if self._warm:
            self.sizes.append(len(images))
            assert self.gate.wait(20)
        self._warm = True
        return self._engine(images)


@pytest.fixture
def engine_at_a_gate(model, monkeypatch) -> GatedEngine:
    engine = GatedEngine(model.engine)
    monkeypatch.setattr(model, "engine", engine)
    return engine


def play(model: Model, scene: Callable[[Any], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        app = create_app(model, ServerSettings(), **options)
        async with asyncio.timeout(30), app.router.lifespan_context(app):
            await scene(app)

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


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

    @pytest.mark.parametrize(
        ("name", "task"), [("client", "classification"), ("boxes", "detection"), ("pixels", "segmentation")]
    )
    def test_it_knows_what_the_model_does(self, request, name, task):
        text = request.getfixturevalue(name).get("/").text
        assert f'const TASK = "{task}";' in text
        (found,) = re.findall(r"const COLOURS = (.*);", text)
        assert all(re.fullmatch("#[0-9a-f]{6}", one) for one in json.loads(found))

    def test_labels_cannot_break_out(self, model):
        labels = ("</script><script>alert(1)</script>", "$about", "<!--")
        network = {"architecture": "<img src=x>"}
        text = page(replace(model.manifest, labels=labels, network=network))
        assert text.count("<script") == 1
        assert "<img src=x>" not in text
        (written,) = re.findall(r"const LABELS = (.*);", text)
        assert tuple(json.loads(written)) == labels
