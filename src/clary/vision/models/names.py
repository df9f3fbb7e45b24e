"""Names of networks, as timm has them: what to say of one that there is not."""

from __future__ import annotations

import timm

from clary.wording import similar_names

__all__ = ["nearest"]


def nearest(name: str) -> str:
    """The way from a name that timm does not know to one that it does, for a hint."""
    close = similar_names(name, timm.list_models(), 3)
    return f"near it: {', '.join(close)}" if close else "`timm.list_models()` shows the names"
