"""What a script's output says of its end, and the way out."""

from __future__ import annotations

import pytest

from clary.toolkit.failure import error_message, extra_info, failure_text, package_of

CHAINED = """\
epoch 1
Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 3, in <module>
    open("gone")
FileNotFoundError: [Errno 2] No such file or directory: 'gone'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 5, in <module>
    raise mine.BadData("no pictures")
mine.BadDataError: no pictures
"""
SYNTAX = """\
  File "/opt/ml/code/train.py", line 7
    print "epoch"
    ^^^^^^^^^^^^^
SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?
"""


def test_the_note_is_as_the_toolkit_writes_it():
    assert failure_text("ExecuteUserScriptError", 1, "ValueError: x", "python -- a.py", "mend it") == (
        'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: x"\n'
        'ExtraInfo "mend it"\nCommand "python -- a.py"'
    )
    assert "ExtraInfo" not in failure_text("ExecuteUserScriptError", 1, "", "python -- a.py")
    # The way out is within the 1024 characters of FailureReason, however much was printed.
    assert failure_text("E", 1, "x" * 5000, "y" * 5000, "mend it").index("mend it") < 1024


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        (CHAINED, "mine.BadDataError: no pictures"),
        (SYNTAX, "SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?"),
        (
            "usage: train.py\ntrain.py: error: unrecognized arguments: --x\n",
            "train.py: error: unrecognized arguments: --x",
        ),
        ("KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("\n \n", ""),
        ("", ""),
    ],
)
def test_the_last_exception_or_the_last_line(printed, message):
    assert error_message(printed) == message


@pytest.mark.parametrize(
    ("module", "line"),
    [("cv2", "opencv-python-headless"), ("sklearn.svm", "scikit-learn"), ("timm", "timm"), ("a_b.c", "a-b")],
)
def test_a_missing_module_names_the_line_of_requirements(tmp_path, module, line):
    assert package_of(module) == line
    printed = f"ModuleNotFoundError: No module named '{module}'\n"
    told = extra_info(printed, 1, "train.py", tmp_path)
    assert told == f"add the line `{line}` to a file requirements.txt beside train.py, at the root of source_dir"
    (tmp_path / "requirements.txt").touch()
    assert extra_info(printed, 1, "train.py", tmp_path) == f"add the line `{line}` to requirements.txt"


def test_a_missing_module_that_is_elsewhere_in_the_source(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "data.py").touch()
    told = extra_info("ModuleNotFoundError: No module named 'data'", 1, "train.py", tmp_path)
    assert told == "data is src/data.py of your source: import it as src.data"


def test_a_module_that_only_aws_has(tmp_path):
    told = extra_info("ModuleNotFoundError: No module named 'smdistributed'", 1, "train.py", tmp_path)
    assert told == "smdistributed is only in AWS's images: import it inside try, or where it is used"


def test_a_syntax_error_names_file_line_and_python(tmp_path):
    assert extra_info(SYNTAX, 1, "train.py", tmp_path).startswith("mend line 7 of train.py; it is read by Python 3.")


def test_what_was_killed(tmp_path):
    assert "out of memory: use a smaller batch" in extra_info("epoch 1\n", 137, "train.py", tmp_path)
    assert extra_info("ValueError: x", 1, "train.py", tmp_path) == ""


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("RuntimeError: Distributed package doesn't have NCCL built in\n", "the backend nccl needs GPUs"),
        ("AssertionError: Torch not compiled with CUDA enabled\n", "there is no GPU: choose the device by"),
        (
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them\n",
            "huggingface.co cannot be reached: bring the model in a channel",
        ),
        ("ModuleNotFoundError: No module named 'horovod'\n", "horovod is only in AWS's images"),
        (
            "KeyError: 'SM_CHANNEL_VALIDATION'\n",
            "SM_CHANNEL_VALIDATION is set in jobs that have the channel `validation`: name it",
        ),
        ("ModuleNotFoundError: No module named 'sagemaker'\n", "add the line `sagemaker<3` to a file"),
        (
            'Downloading: "https://download.pytorch.org/models/resnet50-0676ba61.pth" to /root/.cache/torch\n'
            "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>\n",
            "download.pytorch.org cannot be reached: bring the weights in a channel",
        ),
    ],
)
def test_what_an_error_means_here(tmp_path, printed, told):
    assert extra_info(printed, 1, "train.py", tmp_path).startswith(told)
