"""Launch and Exit on their way through files."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.jobs.launch import Algorithm, Command, Exit, Launch, Program, Script
from clary.errors import UsageError

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(texts, texts, max_size=4), st.lists(texts, max_size=4), st.booleans())
def test_a_launch_comes_back_as_it_was(tmp_path: Path, environment: dict[str, str], argv: list[str], view: bool):
    launch = Launch(
        job="job",
        folder=tmp_path,
        log=tmp_path / "log",
        program=Command(tuple(argv)),
        environment=environment,
        namespace=view,
        inputs=(tmp_path / "opt_ml" / "input" / "data" / "train",),
        max_run=1.5,
    )
    launch.write()
    assert Launch.read(tmp_path) == launch


@pytest.mark.parametrize("program", [Algorithm("image-classification"), Script("/home/jobs/job/script.json")])
def test_every_kind_of_program_comes_back(tmp_path: Path, program: Program):
    Launch(job="job", folder=tmp_path, log=tmp_path / "log", program=program).write()
    assert Launch.read(tmp_path).program == program


@pytest.mark.parametrize(
    ("fields", "program"),
    [
        ({"algorithm": "image-classification", "argv": []}, Algorithm("image-classification")),
        ({"algorithm": "", "argv": ["sh", "-c", "true"]}, Command(("sh", "-c", "true"))),
    ],
)
def test_a_launch_written_before_programs_had_types(tmp_path: Path, fields: dict[str, object], program: object):
    Launch(job="job", folder=tmp_path, log=tmp_path / "log").write()
    written = json.loads((tmp_path / "launch.json").read_text())
    for name in ("program", "kind", "host"):
        del written[name]
    (tmp_path / "launch.json").write_text(json.dumps(written | fields))
    found = Launch.read(tmp_path)
    assert (found.program, found.kind, found.host) == (program, "training-job", "algo-1")


def test_a_launch_of_a_program_that_nobody_knows_is_named(tmp_path: Path):
    Launch(job="job", folder=tmp_path, log=tmp_path / "log").write()
    written = json.loads((tmp_path / "launch.json").read_text())
    for program in ({"type": "container"}, "sh", {"type": "command", "argv": 3}):
        (tmp_path / "launch.json").write_text(json.dumps(written | {"program": program}))
        with pytest.raises(UsageError, match="no such program"):
            Launch.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"job": 3}', "\x00", "[" * 5000])
def test_a_file_that_is_no_launch_is_named(tmp_path: Path, text: str):
    (tmp_path / "launch.json").write_text(text)
    with pytest.raises(UsageError, match=r"launch\.json"):
        Launch.read(tmp_path)


def test_a_missing_launch_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"launch\.json"):
        Launch.read(tmp_path)


def test_the_exit_of_an_earlier_attempt_is_none(tmp_path: Path):
    assert Exit.read(tmp_path, 1) is None
    note = Exit(attempt=1, code=3, started=1.0, ended=2.0)
    note.write(tmp_path)
    assert Exit.read(tmp_path, 1) == note
    assert Exit.read(tmp_path, 2) is None


@pytest.mark.parametrize(
    "damaged", [b'{"attempt": 1, "co', b"", b"\xff\xfe", b"[1]", b'{"colour": 1}', b'{"attempt": "x"}']
)
def test_a_damaged_exit_says_nothing_and_gives_way_to_a_whole_one(tmp_path: Path, damaged: bytes):
    (tmp_path / "exit.json").write_bytes(damaged)
    assert Exit.read(tmp_path, 1) is None
    Exit(attempt=1, code=3).write(tmp_path)
    assert Exit.read(tmp_path, 1) == Exit(attempt=1, code=3)


def test_an_exit_of_a_later_version_is_read(tmp_path: Path):
    (tmp_path / "exit.json").write_text('{"attempt": 1, "code": 0, "new_field": 3}')
    found = Exit.read(tmp_path, 1)
    assert found is not None
    assert found.code == 0


def test_an_exit_that_is_written_while_it_is_looked_for(tmp_path, monkeypatch):
    """The file was not there when it was opened, and was a moment later: no error, it is read next time."""

    def too_early(path: Path) -> bytes:
        path.write_text('{"attempt": 1}')
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", too_early)
        assert Exit.read(tmp_path, 1) is None
    assert Exit.read(tmp_path, 1) == Exit(1)
