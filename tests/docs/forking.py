"""Runs commands in forks of one process that has loaded what they need: loading it takes longer than most of them.

    python tests/docs/forking.py

A line of standard input is a request, JSON with "argv" (what `sys.argv` shall be; "clary", or "-c" and a program),
"cwd", "environment" and "output" (the file for both streams); the answer is a line with the exit code.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import import_module
from typing import Any

LIBRARIES = ("torch", "timm", "torchvision", "cv2", "matplotlib.figure")  # OpenVINO and ONNX Runtime start threads
OURS = ("clary.local.train", "clary.local.evaluate", "clary.vision.inference.predictor")
TASKS = ("image_classification", "object_detection", "semantic_segmentation")


def load() -> None:
    """Import, and no more: a fork has none of the threads that were started before."""
    for name in (*LIBRARIES, *OURS, *(f"clary.vision.algorithms.{task}.train" for task in TASKS)):
        import_module(name)
    import_module("clary.cli.main").load_verbs()
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        sys.exit(f"loading started {threads - 1} threads, so nothing can be forked from here")
    gc.freeze()


def run(request: dict[str, Any]) -> None:
    """Become the program; leaves by its end."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path.insert(0, "")  # as with `python -m` and `python -c`
    first, *rest = request["argv"]
    if first == "clary":
        sys.argv = [first, *rest]
        import_module("clary.cli.main").main()
    else:
        program = rest.pop(0)
        sys.argv = [first, *rest]
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def main() -> None:
    load()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
