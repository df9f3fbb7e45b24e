"""clary.toml: what it may say, and how a mistake in it is told."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.configuration import (
    Configuration,
    ImageRule,
    InstalledEnvironment,
    RequirementsEnvironment,
    configuration_of,
    read_configuration,
)
from clary.errors import UsageError

WHOLE = """
[environments.tf]
requirements = "tf.txt"

[environments.old]
python = "venv"

[[images]]
pattern = "my-trainer:*"
environment = "tf"

[[images]]
pattern = "*/shell"
environment = "clary"
command = [
    "bash",
    "run.sh",
]

[buckets]
sagemaker-sample-files = "samples"
"jumpstart-cache-prod-*" = "samples"

[filesystems]
fs-0123456789abcdef0 = "samples"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "tf.txt").write_text("tensorflow-cpu\n")
    (tmp_path / "samples").mkdir()
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    return tmp_path


def write(home: Path, text: str) -> Path:
    file = home / "clary.toml"
    file.write_text(text)
    return file


def refused(home: Path, text: str) -> str:
    with pytest.raises(UsageError) as error:
        read_configuration(write(home, text))
    return str(error.value).removeprefix(str(home))


def test_all_of_it(home):
    file = write(home, WHOLE)
    assert read_configuration(file) == Configuration(
        images=(ImageRule("my-trainer:*", "tf"), ImageRule("*/shell", "clary", ("bash", "run.sh"))),
        environments={
            "tf": RequirementsEnvironment(home / "tf.txt"),
            "old": InstalledEnvironment(home / "venv" / "bin" / "python"),
        },
        buckets={"sagemaker-sample-files": home / "samples", "jumpstart-cache-prod-*": home / "samples"},
        filesystems={"fs-0123456789abcdef0": home / "samples"},
        file=file,
    )


def test_it_lies_in_the_home_or_where_it_is_said_to(home, tmp_path, monkeypatch):
    assert configuration_of(home) == Configuration()
    write(home, WHOLE)
    assert configuration_of(home).file == home / "clary.toml"
    other = home / "other.toml"
    other.write_text("")
    assert configuration_of(home, other) == Configuration(file=other)
    # Never the working folder's.
    monkeypatch.chdir(home)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert configuration_of(empty) == Configuration()
    with pytest.raises(UsageError, match=r"nowhere\.toml: cannot be read \(No such file"):
        configuration_of(home, home / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[[image]]\n", 1, "there is no key `image`; did you mean images?"),
        ("\n# words\nport = 3\n", 3, "there is no key `port`; there are environments, images"),
        ('[[images]]\npatern = "a"\nenvironment = "clary"\n', 2, "there is no key `patern`; did you mean pattern?"),
        ('[[images]]\nenvironment = "clary"\n', 1, "images need a `pattern`"),
        ('[[images]]\npattern = "a"\n', 1, "`a` names neither `environment` nor `command`"),
        ("[[images]]\npattern = 3\n", 2, "`pattern` is to be a string, and is an integer"),
        ('[[images]]\npattern = "a"\n\ncommand = "b"\n', 4, "`command` is to be an array, and is a string"),
        (
            '[[images]]\npattern = "a"\ncommand = [\n  "b",\n  3,\n]\n',
            *(3, "`command` is to be an array of strings, and holds an integer"),
        ),
        (
            '[environments.tf]\nrequirements = "tf.txt"\n[[images]]\npattern = "a"\nenvironment = "tff"\n',
            *(5, "there is no environment `tff`; did you mean tf?"),
        ),
        ("images = 1\n", 1, "`images` is to be an array, and is an integer"),
        ("images = [\n  1]\n", 1, "`images` is to be an array of tables, and holds an integer"),
        ("[environments]\na = true\n", 2, "`environments.a` is to be a table, and is a boolean"),
        ("environments.a.python = 2026-01-01\n", 1, "`python` is to be a string, and is a date or time"),
        ('[environments.a]\n\nrequirements = "gone.txt"\n', 3, "there is no file"),
        ('[environments.a]\npython = "gone"\n', 2, "there is no Python at"),
        ("[environments.a]\n", 1, "the environment `a` needs one of `python` and `requirements`"),
        (
            '[environments.a]\npython = "venv"\nrequirements = "tf.txt"\n',
            *(1, "needs one of `python` and `requirements`"),
        ),
        ('[environments.clary]\npython = "venv"\n', 1, "`clary` is the name of Clary's own"),
        ('x = """\n\n"""\n[environments."a b"]\n', 4, "`a b` cannot be the name of an environment"),
        ('[buckets]\n\nmine = "gone"\n', 3, "there is no folder"),
        ('[buckets]\nmine = "tf.txt"\n', 2, "there is no folder"),
        ('[buckets]\nmine = ""\n', 2, "there is no folder"),
        ("[buckets]\nmine = 3\n", 2, "`mine` is to be a string, and is an integer"),
        ('[buckets]\nok = "samples"\nMine = "samples"\n', 3, "no bucket can be called `Mine`"),
        ("buckets = 1\n", 1, "`buckets` is to be a table, and is an integer"),
        ('[filesystems]\nshared = "samples"\n', 2, "`shared` is no id of a file system; they begin with fs-"),
        ("a = 1\nb = \n", 2, "is no TOML: invalid value"),
        ('a = "b\n', 1, "is no TOML"),
        ("a = [\n\n", 1, "is no TOML"),
    ],
)
def test_a_mistake_names_file_and_line(home, text, line, said):
    told = refused(home, text)
    assert told.startswith(f"/clary.toml:{line}: "), told
    assert said in told


def test_what_is_no_text(home):
    file = home / "clary.toml"
    file.write_bytes(b"# fine\na = '\xff'\n")
    with pytest.raises(UsageError, match=r"clary\.toml:2: is not UTF-8; save it as UTF-8"):
        read_configuration(file)
    file.write_bytes(b"#" * 70_000)
    with pytest.raises(UsageError, match="is larger than 64 KiB"):
        read_configuration(file)


def problem(file: Path) -> UsageError | None:
    try:
        read_configuration(file)
    except UsageError as error:
        return error
    return None


KEYS = st.sampled_from(["images", "environments", "pattern", "python", "requirements", "command", "clary", "a-b"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def spelled(value: object) -> str:
    """A value as TOML has it, in one line."""
    match value:
        case None:
            return "1979-05-27"
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
        case list():
            return f"[{', '.join(map(spelled, value))}]"
        case dict():
            return f"{{{', '.join(f'{name} = {spelled(inner)}' for name, inner in value.items())}}}"
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.integers(0, 3))
def test_whatever_it_says_is_read_or_refused_with_a_line_of_the_file(tmp_path_factory, document, blank):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    text = "".join(f"{chr(10) * blank}{name} = {spelled(value)}\n" for name, value in document.items())
    tomllib.loads(text)
    file.write_text(text)
    if error := problem(file):
        where = error.where.removeprefix(f"{file}:")
        # One key a line: the line is the one that begins the statement.
        assert text.split("\n")[int(where) - 1].partition(" ")[0] in document
        assert error.hint


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "text.toml"
    file.write_text(text, encoding="utf-8", errors="replace")
    if error := problem(file):
        assert error.where.startswith(f"{file}:")
