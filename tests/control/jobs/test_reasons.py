"""FailureReason, from everything a program can leave behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.jobs.reasons import LIMIT, of_error, of_exit, read_failure, with_place
from clary.control.objects.base import NoSuchBucket
from clary.control.wire.errors import ServiceError
from clary.errors import HyperparameterError, UsageError


def test_a_program_that_says_nothing():
    assert of_exit(1) == "AlgorithmError: , exit code: 1"


def test_exit_code_2_is_the_customers():
    assert of_exit(2, failure="no such column") == "ClientError: no such column, exit code: 2"


def test_a_class_of_the_programs_own_is_kept():
    assert of_exit(1, failure="ClientError: bad data") == "ClientError: bad data, exit code: 1"
    note = "ClientError: The value '0' is not valid, exit code: 2"
    assert of_exit(2, failure=note + "\n") == note


def test_lines_of_the_failure_note_survive():
    note = 'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError"\nCommand "python train.py"'
    assert of_exit(1, failure=note) == f"AlgorithmError: {note}, exit code: 1"


def test_signals():
    assert of_exit(signal=11) == "AlgorithmError: killed by signal 11 (SIGSEGV), exit code: 139"
    assert of_exit(signal=9, failure="ClientError: x") == "ClientError: x, exit code: 137"
    assert of_exit(signal=60).startswith("AlgorithmError: killed by signal 60")


@pytest.mark.parametrize("how", [{"signal": 9}, {"code": 137}, {"code": 1}])
def test_out_of_memory_is_said(how):
    reason = of_exit(out_of_memory=True, **how)
    assert reason.startswith("AlgorithmError: killed, out of memory")
    assert reason.endswith(f"exit code: {how.get('code', 137)}")


def test_a_program_that_could_not_be_started():
    assert of_exit(error="no such program: x") == "InternalServerError: no such program: x"


def test_errors_of_preparing():
    assert of_error(HyperparameterError("The value '0'")) == "ClientError: The value '0'"
    assert "s3" not in of_error(NoSuchBucket("pets-bucket"))
    assert "pets-bucket" in of_error(NoSuchBucket("pets-bucket"))
    error = UsageError("the disk is full, nothing was written", where="/home/x")
    error.__cause__ = OSError(errno.ENOSPC, "voll")
    full = of_error(error)
    assert full.startswith("InternalServerError: /home/x: the disk is full")
    full = of_error(ServiceError("StorageFull", "No space left on the disk of /x", status=507))
    assert full == "InternalServerError: No space left on the disk of /x"
    full = of_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x/y"))
    assert full == "InternalServerError: /x/y: No space left on device"


@given(st.none() | st.integers(-5, 300), st.none() | st.integers(1, 64), st.booleans(), st.text(max_size=3000))
def test_a_reason_fits_has_a_class_and_ends_with_the_code(code, signal, out_of_memory, failure):
    reason = of_exit(code, signal, out_of_memory=out_of_memory, failure=failure)
    assert len(reason) <= LIMIT
    assert reason.startswith(("ClientError: ", "AlgorithmError: ", "InternalServerError: ", "CapacityError: ")) or (
        failure.strip().startswith(("ClientError:", "AlgorithmError:", "InternalServerError:", "CapacityError:"))
    )
    assert "exit code: " in reason


class TestReadFailure:
    def test_its_head(self, tmp_path: Path):
        (tmp_path / "failure").write_text("ä" * 5000)
        assert read_failure(tmp_path, "failure") == "ä" * LIMIT

    def test_bytes_that_are_no_text(self, tmp_path: Path):
        (tmp_path / "failure").write_bytes(b"\0\xffbroken\n")
        assert read_failure(tmp_path, "failure") == "\ufffdbroken"

    def test_nothing_there(self, tmp_path: Path):
        assert read_failure(tmp_path, "failure") == ""

    def test_what_is_no_file_is_not_followed(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "away").symlink_to(tmp_path)
        assert read_failure(tmp_path, "pipe") == "no failure note was read: pipe is no file"
        assert "link is no file" in read_failure(tmp_path, "link")
        assert read_failure(tmp_path, "away/secret") == "no failure note was read: away is a symbolic link"
        assert read_failure(tmp_path, "secret/failure") == "no failure note was read: secret is no folder"


def test_where_it_lies_is_said_however_long_the_reason():
    found = with_place("x" * 2000, Path("/home/jobs/one/opt_ml/model"))
    assert len(found) == LIMIT
    assert found.endswith("; what the job left is kept in /home/jobs/one/opt_ml/model")
    assert with_place("x", None) == "x"
