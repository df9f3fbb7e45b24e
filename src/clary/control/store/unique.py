"""Names that are used once: the one refusal of a second use, however late it is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clary.control.store.errors import AlreadyExists
from clary.control.store.records import Store

__all__ = ["unique"]


@contextmanager
def unique(store: Store, kind: str, name: str, arn: str, *, refusal: Exception) -> Iterator[None]:
    """Raise ``refusal`` when there is a record of this kind and name or of this ARN, now or when the body creates it.

    Looked at first because AWS says so before it looks at the rest of a request; again by the store's own constraint,
    because two requests may come at once. ARNs hold names in lower case, so names that differ in case alone clash.
    """
    if store.get(kind, name) or store.by_arn(arn):
        raise refusal
    try:
        yield
    except AlreadyExists as error:
        raise refusal from error
