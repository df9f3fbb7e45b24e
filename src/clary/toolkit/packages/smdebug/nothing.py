"""What takes every call and does nothing."""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["Hook", "ModeKeys", "Nothing", "get_hook", "modes", "str2bool"]


class _Kind(type):
    """Of a class, too: ``CollectionKeys.LOSSES``."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls()


class Nothing(metaclass=_Kind):
    """Any attribute, any call, any block: nothing. False, so that guards (``if hook:``) leave it alone."""

    def __init__(self, *words: Any, **options: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copies and pickles ask for
            raise AttributeError(name)
        return self

    def __call__(self, *words: Any, **options: Any) -> Any:
        return self

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *words: Any) -> None: ...

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Any:
        return iter(())


class Hook(Nothing):
    """Of PyTorch and of Keras."""

    @classmethod
    def create_from_json_file(cls, json_file_path: str | None = None) -> Hook:
        return cls()


class ModeKeys(enum.Enum):
    """The modes of a step."""

    TRAIN = 1
    EVAL = 2
    PREDICT = 3
    GLOBAL = 4


modes = ModeKeys
KerasHook = SessionHook = EstimatorHook = Hook


def get_hook(*words: Any, **options: Any) -> Hook:
    return Hook()


def str2bool(text: str | bool) -> bool:
    """``smdebug.profiler.utils.str2bool``, for flags of a command line."""
    return text if isinstance(text, bool) else text.lower() in ("yes", "true", "t", "y", "1")
