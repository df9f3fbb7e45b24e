"""An operation is a function: found by service and name, called with the platform and the checked request.

@operation("sagemaker", "DescribeModel")
def describe_model(platform: Platform, request: Request) -> Answer: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clary.control.wire.asgi import Receive
from clary.vision.inference.disconnection import unless_gone

__all__ = ["OPERATIONS", "Answer", "Call", "Handler", "Request", "call", "calling", "operation"]

# Members by their names in the service description; blobs are bytes, timestamps are aware datetimes.
Request = dict[str, Any]
# As Request; a timestamp may be epoch seconds too. Members the description does not know are left out of the answer.
Answer = dict[str, Any] | None
# Runs on the event loop: a plain function must be quick (a few milliseconds), anything slower is async.
Handler = Callable[[Any, Request], Answer | Awaitable[Answer]]

OPERATIONS: dict[tuple[str, str], Handler] = {}

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def operation(service: str, name: str) -> Callable[[F], F]:
    """Register a function for operation ``name`` of ``service`` (botocore's names: "sagemaker", "logs", "sts" ...)."""

    def register(handler: F) -> F:
        if (service, name) in OPERATIONS:
            raise ValueError(f"two functions answer {service} {name}")
        OPERATIONS[service, name] = handler
        return handler

    return register


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of the request besides its members."""

    service: str
    operation: str
    region: str
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)
    receive: Receive | None = None

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; cancelled when the client goes away. Raises ClientGone, and what the work raises."""
        return await (work if self.receive is None else unless_gone(self.receive, work))


# A variable of the context, not an argument: most operations need none of it, and it follows into asyncio.to_thread.
_current: ContextVar[Call] = ContextVar("call")


def call() -> Call:
    """The call being answered."""
    return _current.get()


@contextmanager
def calling(this: Call) -> Iterator[None]:
    """``call()`` gives ``this`` inside the block."""
    token = _current.set(this)
    try:
        yield
    finally:
        _current.reset(token)
