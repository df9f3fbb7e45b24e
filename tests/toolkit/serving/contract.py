"""What every service promises to the server; one test class a framework inherits it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clary.toolkit.serving.service import Answer, Request, Service


def asked(body: bytes | str = b"", content_type: str = "", accept: str = "", **headers: str) -> Request:
    """A request as the server makes it; ``x_amzn_...`` are further headers."""
    named = {"content-type": content_type, "accept": accept}
    sent = {name: value for name, value in named.items() if value}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    attributes = sent.get("x-amzn-sagemaker-custom-attributes", "")
    return Request(body.encode() if isinstance(body, str) else body, content_type, accept, attributes, sent)


class ServiceContract:
    """``service`` is a loaded one, ``good`` a request that it answers, ``bad`` one that its user's code cannot."""

    good: Request
    bad: Request

    @pytest.fixture
    def loaded(self, model: Path) -> Iterator[Service]:
        service = self.load(model)
        yield service
        service.close()

    def load(self, model: Path) -> Service:
        raise NotImplementedError

    def test_it_answers(self, loaded: Service) -> None:
        answer = loaded.answer(self.good)
        assert (answer.status, type(answer.body)) == (200, bytes)
        assert answer.content_type

    def test_an_error_is_an_answer_and_the_next_call_is_as_ever(self, loaded: Service) -> None:
        before = loaded.answer(self.good)
        answer = loaded.answer(self.bad)
        assert isinstance(answer, Answer)
        assert answer.status >= 400
        assert answer.body
        assert loaded.answer(self.good) == before

    def test_a_body_that_is_nothing_is_answered(self, loaded: Service) -> None:
        assert isinstance(loaded.answer(asked()), Answer)
        assert isinstance(loaded.answer(asked(bytes(range(256)), "application/x-none", "application/x-none")), Answer)

    def test_it_says_how_many_calls_at_a_time(self, loaded: Service) -> None:
        assert loaded.streams >= 1
