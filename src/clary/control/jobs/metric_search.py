"""Searching lines for the customer's regular expressions, in a process that can be ended.

    python -I -S metric_search.py        expressions and lines in, as JSON; what was found out

Python's own ``re`` backtracks, so an expression may take for ever on some line, and holds the interpreter's lock
meanwhile: in the gateway it would stop everybody. Here the kernel counts the processor time of each expression and the
process has little memory. Of the libraries with a limit, ``regex`` asks for all of the machine's memory to compile
``((a{1000}){1000}){1000}``, and google-re2 refuses 5 of 100 expressions that people write and reads another otherwise
(docs/decisions/0010).

A process takes 30 ms of one core to start (measured on a busy machine); one does all expressions of a job at every
look at its log. Nothing but the standard library is imported: ``-I -S`` runs this file by itself.
"""

from __future__ import annotations

import json
import math
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["CPU_SECONDS", "Found", "search", "too_slow"]

CPU_SECONDS = 2.0  # of one expression on one batch of lines; two thousand common lines take a hundredth of it
PROBE_SECONDS = 1.2  # of one expression on one probe
MEMORY = 512 << 20  # bytes of address space
WALL_SECONDS = 30.0  # for each expression, on a machine that has much else to do; then the process is killed
# Characters of a probe: what takes the third power of that, which some good expressions do on lines of nothing but
# digits, is through in 0.7 s; what takes the fourth needs 2 s and more.
LINE = 500

Found = tuple[int, float]  # index of a line, value found in it


def search(
    expressions: Mapping[str, str], lines: Sequence[str], seconds: float = CPU_SECONDS, line_seconds: float = math.inf
) -> dict[str, Any]:
    """For each name the values found, a list of ``Found``: the first group of its expression in each line where that
    is a finite number, the whole match where there is no group. None for an expression that takes longer than
    ``seconds`` of processor time for all lines, or ``line_seconds`` for one, or more memory than there is. Blocks.

    The expressions must compile.
    """
    limits = [seconds, min(seconds, line_seconds)]
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps({"expressions": dict(expressions), "lines": list(lines), "limits": limits}),
            capture_output=True,
            text=True,
            timeout=WALL_SECONDS * max(1, len(expressions)),
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        # One of them ended the process: which one is seen when each has its own.
        if len(expressions) <= 1:
            return dict.fromkeys(expressions)
        return {name: search({name: text}, lines, *limits)[name] for name, text in expressions.items()}
    found = json.loads(done.stdout)
    return {name: None if one is None else [(index, value) for index, value in one] for name, one in found.items()}


def too_slow(expressions: Mapping[str, str]) -> list[str]:
    """The names of expressions that take too long on lines made to find that out."""
    limits = 5 * PROBE_SECONDS, PROBE_SECONDS
    # Alone: each has lines of its own.
    return [name for name, text in expressions.items() if search({name: text}, _probes(text), *limits)[name] is None]


def _probes(expression: str) -> list[str]:
    """Lines on which careless expressions show what they cost: the same again and again, and an end that does not fit.

    An expression that is slow only on lines of another kind is found out when it meets them.
    """
    letters = [letter for letter in dict.fromkeys(expression) if letter.isalnum() or letter in " =:,;-_"][:12]
    bodies = dict.fromkeys(["a", "0", " ", "a ", "0.0,", "loss=0.5 ", *letters])
    ends = "!", "".join(letters)
    return [(body * LINE)[: LINE - len(end)] + end for body in bodies for end in ends]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _limited(expression: str, lines: Sequence[str], seconds: float, line_seconds: float) -> list[Found] | None:
    found, began = [], time.process_time()
    try:
        compiled = re.compile(expression)
        for index, line in enumerate(lines):
            # Processor time of this process, not the clock's: a busy machine makes no expression slow. ``re`` looks for
            # signals every few thousand steps.
            signal.setitimer(signal.ITIMER_PROF, max(1e-6, min(line_seconds, seconds + began - time.process_time())))
            if (match := compiled.search(line)) is not None:
                # SageMaker takes the first group. Without one it is the whole match that must be a number.
                value = _number(match.group(1) if compiled.groups else match.group())
                if math.isfinite(value):
                    found.append((index, value))
    except (TimeoutError, MemoryError):
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    return found


def _expired(number: int, frame: object) -> None:
    raise TimeoutError


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _expired)
    request = json.load(sys.stdin)
    lines, limits = request["lines"], request["limits"]
    json.dump({name: _limited(text, lines, *limits) for name, text in request["expressions"].items()}, sys.stdout)


if __name__ == "__main__":
    main()
