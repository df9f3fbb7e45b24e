"""Hyperparameters of a script: from the strings of a request to values, and on to arguments and variables.

Clients encode in ways of their own (SDK v2 with ``json.dumps``, its generic Estimator with ``str``, v3 strings bare
and all else as JSON), so every value is tried as JSON, and is the string itself where it is none.
Source: sagemaker-training 5.1.4, mapping.py and params.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clary.errors import CustomerError

__all__ = ["Hyperparameters", "arguments", "check", "decode", "variable_text"]

# The toolkit's own, which neither arguments nor variables show.
_RESERVED = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_region",
        "sagemaker_s3_output",
        "default_user_module_name",
        "_tuning_objective_metric",
    }
)
_PREFIX = "sagemaker_"


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Decoded, and sorted out: the ``user``'s, the ``framework``'s (distribution), and the ``toolkit``'s own."""

    user: Mapping[str, Any]
    framework: Mapping[str, Any]
    toolkit: Mapping[str, Any]

    @property
    def program(self) -> str:
        """``sagemaker_program``: the script's path in the source archive; empty where there is none."""
        return str(self.toolkit.get("sagemaker_program") or "")

    @property
    def submit_directory(self) -> str:
        """``sagemaker_submit_directory``: where the source is, an S3 URI or a path below /opt/ml."""
        return str(self.toolkit.get("sagemaker_submit_directory") or "")

    @property
    def log_level(self) -> int:
        level = self.toolkit.get("sagemaker_container_log_level")
        return level if isinstance(level, int) and not isinstance(level, bool) else 20


def decode(given: Mapping[str, str], say: Callable[[str], object] = lambda line: None) -> Hyperparameters:
    """The values that the strings of a request stand for. ``say`` is told of each that is no JSON."""
    values = {name: _decoded(name, text, say) for name, text in given.items()}
    rest = {name: value for name, value in values.items() if name not in _RESERVED}
    return Hyperparameters(
        user={name: value for name, value in rest.items() if not name.startswith(_PREFIX)},
        framework={name: value for name, value in rest.items() if name.startswith(_PREFIX)},
        toolkit={name: value for name, value in values.items() if name in _RESERVED},
    )


def _decoded(name: str, text: str, say: Callable[[str], object]) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        say(f"Failed to parse hyperparameter {name} value {text} to Json. Returning the value itself")
        return text


def check(given: Hyperparameters) -> None:
    """Raises CustomerError for what no program can be handed: JSON spells NUL and halves of characters."""
    for name, value in given.user.items():
        if "=" in name:
            what = f"the hyperparameter `{name!a}` has a `=` in its name, which no variable SM_HP_ can have"
            raise CustomerError(what, hint="call it otherwise")
        for text in (name, _argument(value), variable_text(value)):
            if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
                what = f"the hyperparameter `{name!a}` holds a character that no argument can have"
                raise CustomerError(what, hint="leave it out, or encode it (base64)")


def arguments(values: Mapping[str, Any]) -> list[str]:
    """The words of a command line: sorted by name, ``--name value``, of a name of one character ``-n value``.

    A list is one word, as Python writes it; an object ``a=1,b=x``; null an empty word; true ``True``.
    """
    words = []
    for name in sorted(values):
        words += [f"--{name}" if len(name) > 1 else f"-{name}" if name else "", _argument(values[name])]
    return words


def _argument(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={inner}" for name, inner in sorted(value.items()))
    return "" if value is None else str(value)


def variable_text(value: Any) -> str:
    """A value as an SM_ variable has it: strings as they are, null empty, all else as compact JSON with sorted keys."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
