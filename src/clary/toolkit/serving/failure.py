"""Why a service could not be loaded, in the words that an endpoint's FailureReason has."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from clary.errors import ClaryError
from clary.toolkit.failure import extra_info
from clary.toolkit.serving.user_code import code_folder, program_of

__all__ = ["explain"]

LIMIT = 960  # characters: FailureReason has 1024, and the platform names the variant
_OURS = str(Path(__file__).parent)
_TOOLKIT = str(Path(__file__).parents[1])


def explain(error: BaseException, model_dir: Path, variables: Mapping[str, str]) -> str:
    """What went wrong and how to mend it, in one line; then, of the user's code, the end of the traceback.

    An error of ours is its own line, and no traceback tells more; so is one that a default function of ours raises.
    """
    if isinstance(error, ClaryError):
        return str(error)[:LIMIT]
    trace = "".join(traceback.format_exception(error.with_traceback(_of_the_user(error.__traceback__))))
    code, program = code_folder(model_dir, variables), program_of(variables)
    # The first is the error, each other a note.
    said = "; ".join(" ".join(part.split()).rstrip(".") for part in traceback.format_exception_only(error))
    if isinstance(error, SyntaxError):
        said = f"{type(error).__name__}: {error.msg}"
    hint = extra_info(trace, 1, program, code)
    line = f"{said}; {hint}" if hint else said
    line = line[: LIMIT // 2]
    if all(frame.filename.startswith(_TOOLKIT) for frame in traceback.extract_tb(error.__traceback__)):
        return line
    room = LIMIT - len(line) - 1
    end = trace.rstrip() if len(trace.rstrip()) <= room else f"...{trace.rstrip()[3 - room :]}"
    return f"{line}\n{end}"


def _of_the_user(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that ours called; the whole where there is none."""
    found, was_ours = trace, False
    while found is not None:
        file = found.tb_frame.f_code.co_filename
        is_ours = file.startswith((_OURS, "<frozen importlib")) or Path(file).parent.name == "importlib"
        if was_ours and not is_ours:
            return found
        found, was_ours = found.tb_next, is_ours
    return trace
