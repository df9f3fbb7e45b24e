"""The job's own description, as an object: ``Environment().channel_input_dirs["train"]``."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["Environment"]


class Environment:
    """The members of SM_TRAINING_ENV as attributes. Raises KeyError outside of a training job."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = json.loads(os.environ["SM_TRAINING_ENV"])

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the training environment has no {name}") from None

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def to_cmd_args(self) -> list[str]:
        """The words after the script's name."""
        return list(json.loads(os.environ["SM_USER_ARGS"]))

    def to_env_vars(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("SM_")}
