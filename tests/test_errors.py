from __future__ import annotations

import errno
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from clary import errors
from clary.errors import ClaryError, CustomerError, DataError


def drawn_tree() -> dict[str, str]:
    """Class name to parent name, as the picture at the top of the module has them."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([ │├└─]*)([A-Z]\w+)\s", line)
        if match is None or not hasattr(errors, match[2]):
            continue
        indent = len(match[1])
        path = [(depth, name) for depth, name in path if depth < indent]
        found[match[2]] = path[-1][1] if path else "Exception"
        path.append((indent, match[2]))
    return found


def test_the_tree_drawn_is_the_tree() -> None:
    classes = {name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)}
    assert drawn_tree() == {name: one.__bases__[0].__name__ for name, one in classes.items()}
    assert set(classes) <= set(errors.__all__)


def test_a_message_says_where_what_and_how_to_mend() -> None:
    error = DataError("is empty", where="a/b.jpg", hint="remove it")
    assert str(error) == "a/b.jpg: is empty; remove it"
    assert (error.what, error.where, error.hint) == ("is empty", "a/b.jpg", "remove it")
    assert str(DataError("is empty")) == "is empty"


def test_a_notebook_shows_the_line_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shown = shell.run_cell(
        "from clary.errors import DataError\nraise DataError('is empty', where='a/b.jpg', hint='remove it')"
    )
    assert isinstance(shown.error_in_exec, DataError)
    assert capsys.readouterr().out.strip() == "DataError: a/b.jpg: is empty; remove it"


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.ClaryError, 1), (errors.UsageError, 2), (errors.DivergedError, 1), (errors.InterruptedRun, 130)],
)
def test_exit_codes(error: type[ClaryError], code: int) -> None:
    assert error("x").exit_code == code


def test_every_mistake_of_a_user_exits_with_two() -> None:
    kinds: list[type[CustomerError]] = [CustomerError, *CustomerError.__subclasses__()]
    assert {kind.exit_code for kind in kinds} == {2}


@given(st.text(), st.text(), st.text())
def test_a_message_is_one_printable_line(what: str, where: str, hint: str) -> None:
    message = str(ClaryError(what, where=where, hint=hint))
    assert message.isprintable()
    assert what.isprintable() is False or what in message


def full_database(tmp_path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE one (text)")
    connection.execute("PRAGMA max_page_count = 2")
    return connection


def test_a_full_disk_is_known_by_its_number(tmp_path: Path) -> None:
    """In the system's language, in a database, and behind what our own code made of it."""
    assert errors.out_of_space(OSError(errno.ENOSPC, "Auf dem Gerät ist kein Speicherplatz mehr verfügbar"))
    assert errors.out_of_space(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)))
    with closing(full_database(tmp_path)) as connection, pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO one VALUES (?)", ["x" * 20_000])
    assert errors.out_of_space(caught.value)
    assert errors.out_of_space(OperationalError("INSERT", {}, caught.value))
    outer = DataError("cannot be written")
    outer.__cause__ = OSError(errno.ENOSPC, "")
    assert errors.out_of_space(outer)


def test_words_are_no_full_disk() -> None:
    for error in (errors.UsageError("the disk is full"), OSError(errno.EIO, "No space left on device"), None):
        assert not errors.out_of_space(error)
