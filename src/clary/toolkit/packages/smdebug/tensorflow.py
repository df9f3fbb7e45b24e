"""``import smdebug.tensorflow as smd``."""

from __future__ import annotations

from typing import Any

from smdebug.nothing import Hook, Nothing, get_hook, modes

__all__ = ["Hook", "KerasHook", "get_hook", "modes"]

KerasHook = SessionHook = EstimatorHook = Hook


def __getattr__(name: str) -> Any:
    """SaveConfig, Collection and what else there is."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing
