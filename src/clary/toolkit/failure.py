"""Why a script failed: the text of /opt/ml/output/failure, and the way out where one is known.

    ExecuteUserScriptError:
    ExitCode 1
    ErrorMessage "ModuleNotFoundError: No module named 'timm'"
    ExtraInfo "add the line `timm` to requirements.txt beside train.py"
    Command "/.../python -- train.py --epochs 3"

Source: sagemaker-training 5.1.4, errors.py; ExtraInfo is its as well, for exit code 137.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from clary.toolkit.former_names import missed
from clary.toolkit.tensorflow_names import way_out

__all__ = ["error_message", "extra_info", "failure_text", "package_of"]

MESSAGE_LIMIT = 500  # characters: FailureReason has 1024, and the way out and the command are to be in it
COMMAND_LIMIT = 200
KILLED = 137  # as a shell says SIGKILL

# A line that names an exception, as Python prints it at the end of a traceback; SyntaxError has no traceback's head.
_EXCEPTION = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*(?:\w*(?:Error|Exception|Interrupt|Warning|Exit|Failure|Timeout))(?::.*)?$", re.MULTILINE
)
_MISSING = re.compile(r"No module named '?([A-Za-z_][\w.]*)'?")
_CHANNEL = re.compile(r"KeyError: '(SM_CHANNEL_(\w+))'")
_PLACE = re.compile(r'^\s*File "([^"]+)", line (\d+)', re.MULTILINE)

# Packages that are called otherwise than what they bring.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "google.protobuf": "protobuf",
    "MySQLdb": "mysqlclient",
    "pkg_resources": "setuptools<80",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "pycocotools": "pycocotools",
    "sagemaker": "sagemaker<3",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "SimpleITK": "SimpleITK",
    "tensorflow": "tensorflow-cpu",
    "yaml": "PyYAML",
}
# What is only in AWS's own images, and on no index.
_ONLY_ON_AWS = {
    *(
        "smdistributed",
        "smddp",
        "smppy",
        "horovod",
        "sagemaker_tensorflow",
        "sagemaker_pytorch_container",
        "sagemaker_tensorflow_container",
    ),
    "sagemaker_sklearn_extension",
}
# What an error means here, by what is printed last.
_MEANT = {
    r"NCCL built in|ProcessGroupNCCL .*no GPUs found|nccl\w* requires at least one CUDA device": (
        "the backend nccl needs GPUs, and there are none: use gloo where torch.cuda.is_available() is False"
    ),
    r"couldn't connect to 'https://huggingface\.co'|LocalEntryNotFoundError|host='huggingface\.co'": (
        "huggingface.co cannot be reached: bring the model in a channel, and load it from that folder"
    ),
    r"smddp": "the backend smddp is only in AWS's images: use gloo or nccl",
    r"not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available": (
        "there is no GPU: choose the device by torch.cuda.is_available()"
    ),
}
_WEIGHTS = "download.pytorch.org"  # PyTorch prints the address before it asks for it


def failure_text(kind: str, code: int, message: str, command: str, extra: str = "") -> str:
    """The note of a failure of ``kind``, SageMaker's name of it (ExecuteUserScriptError, say)."""
    lines = [f"{kind}:", f"ExitCode {code}", f'ErrorMessage "{message[:MESSAGE_LIMIT]}"']
    lines += [f'ExtraInfo "{extra}"'] if extra else []
    return "\n".join([*lines, f'Command "{command[:COMMAND_LIMIT]}"'])


def error_message(printed: str) -> str:
    """What a script's output says of its end: the last exception and what follows it, else the last line."""
    if found := list(_EXCEPTION.finditer(printed)):
        return printed[found[-1].start() :].strip()
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def extra_info(printed: str, code: int, program: str, code_folder: Path) -> str:
    """How to mend what ``error_message`` says, where that is known; empty where not. One line."""
    message = error_message(printed)
    if code == KILLED:
        return "killed, most likely out of memory: use a smaller batch, fewer workers or smaller pictures"
    if row := missed(message):
        return row.advice
    if meant := next((way for said, way in _MEANT.items() if re.search(said, message)), ""):
        return meant
    if "urlopen error" in message and _WEIGHTS in printed:
        return f"{_WEIGHTS} cannot be reached: bring the weights in a channel, and load them with load_state_dict"
    if way := way_out(message):
        return way
    if channel := _CHANNEL.match(message):
        # A training script that is deployed is imported, and has no channels.
        served = "code that is served as well reads it under if __name__ == '__main__'"
        return f"{channel[1]} is set in jobs that have the channel `{channel[2].lower()}`: name it in fit(); {served}"
    if message.startswith(("ModuleNotFoundError", "ImportError")) and (missing := _MISSING.search(message)):
        return _missing_module(missing[1], program, code_folder)
    if message.startswith(("SyntaxError", "IndentationError", "TabError")):
        return _syntax(printed)
    return ""


def package_of(module: str) -> str:
    """The package that brings ``module``, as a line of requirements.txt names it."""
    return next((_PACKAGES[name] for name in (module, module.partition(".")[0]) if name in _PACKAGES), "") or (
        module.partition(".")[0].replace("_", "-")
    )


def _missing_module(module: str, program: str, code: Path) -> str:
    root = module.partition(".")[0]
    if root in _ONLY_ON_AWS:
        return f"{root} is only in AWS's images: import it inside try, or where it is used"
    inside = sorted(path for path in code.rglob(f"{root}*") if path.name in (root, f"{root}.py"))
    if inside:
        place = inside[0].relative_to(code)
        way = f"import it as {'.'.join(place.with_suffix('').parts)}" if len(place.parts) > 1 else "add its __init__.py"
        return f"{root} is {place} of your source: {way}"
    line = package_of(module)
    if (code / "requirements.txt").is_file():
        return f"add the line `{line}` to requirements.txt"
    return (
        f"add the line `{line}` to a file requirements.txt beside {program or 'the script'}, at the root of source_dir"
    )


def _syntax(printed: str) -> str:
    if not (places := _PLACE.findall(printed)):
        return ""
    file, line = places[-1]
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return f"mend line {line} of {Path(file).name}; it is read by {version}"
