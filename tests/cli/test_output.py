from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from clary.cli import output
from clary.cli.output import emit, note, progress, table, transfers


def on_a_terminal(script: str, *, stdout: bool) -> tuple[str, str]:
    """Run Python with standard output (or else standard error) on a terminal; what it shows, and the other stream."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    streams = {"stdout": slave, "stderr": subprocess.PIPE} if stdout else {"stdout": subprocess.PIPE, "stderr": slave}
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    child = subprocess.Popen([sys.executable, "-c", script], env=environment, **streams)
    os.close(slave)
    plain, errors = child.communicate(timeout=60)  # what is shown fits into the terminal's buffer
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    return seen.decode(), (errors if stdout else plain).decode()


class TestTable:
    rows = (("cat", 12, 0.123456), ("american_bulldog", 3, 1.0))

    def test_plain_columns_elsewhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        table("Counts", ["class", "pictures", "share"], self.rows)
        assert capsys.readouterr().out.splitlines() == [
            "Counts",
            "class             pictures   share",
            "cat                     12  0.1235",
            "american_bulldog         3       1",
        ]

    def test_no_title_and_no_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        table("", ["a", "b"], [])
        assert capsys.readouterr().out == "a  b\n"

    def test_cells_stay_on_their_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        table("", ["a"], [["x\ny\x1b[31m\udcff"]])
        assert capsys.readouterr().out.splitlines()[1] == "x\\ny\\x1b[31m\\udcff"

    def test_drawn_on_a_terminal(self) -> None:
        script = "from clary.cli.output import table; table('T [x]', ['name', 'n'], [['[bold]cat', 3], ['dog', 12]])"
        seen, errors = on_a_terminal(script, stdout=True)
        assert errors == ""
        assert "─" in seen
        assert "T [x]" in seen
        assert "[bold]cat" in seen  # data is no markup

    def test_what_is_too_wide_for_a_terminal_is_listed_whole(self) -> None:
        name, path = "classify-boto3-2026-11-30-17-35-48-b7839d", "/home/me/data/pets-of-all-kinds/images/beagle.jpg"
        reason = f"{'why ' * 40}end"
        rows = [[name, path, "", 3, reason]]
        columns = ["name", "picture", "nothing", "boxes", "remarks"]
        script = f"from clary.cli.output import table; table('T', {columns}, {rows}, sentences=True)"
        seen, errors = on_a_terminal(script, stdout=True)
        assert errors == ""
        assert [line for line in seen.splitlines() if line] == [
            "T",
            name,
            f"  picture {path}, boxes 3",
            f"{name}: {reason}",
        ]

    def test_sentences_stay_a_column_elsewhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        table("", ["name", "remarks"], [["a", "why"]], sentences=True)
        assert capsys.readouterr().out == "name  remarks\na     why\n"


class TestProgress:
    def test_a_line_at_the_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress("checking", 3) as advance:
            advance()
            advance(2)
        out, err = capsys.readouterr()
        assert (out, err) == ("", "checking: 3 of 3\n")

    def test_lines_now_and_then(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter([0.0, 1.0, 5.0, 5.0, 6.0, 11.0, 11.0])
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        with progress("checking", 9) as advance:
            for _ in range(4):
                advance()
        assert capsys.readouterr().err.splitlines() == ["checking: 2 of 9", "checking: 4 of 9", "checking: 4 of 9"]

    def test_no_line_at_the_end_of_a_failure(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(ZeroDivisionError), progress("checking", 3) as advance:
            advance(1 // 0)
        assert capsys.readouterr().err == ""

    def test_a_bar_on_a_terminal(self) -> None:
        script = "from clary.cli.output import progress\nwith progress('checking', 2) as a: a(); a()\nprint('data')"
        seen, out = on_a_terminal(script, stdout=False)
        assert out == "data\n"
        assert "checking" in seen
        assert "2/2" in seen


class TestTransfers:
    def test_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        with transfers() as tell:
            tell("images.tar.gz", 1_000_000, 3_000_000)
            tell("images.tar.gz", 2_000_000, 3_000_000)
            tell("images.tar.gz", 3_000_000, 3_000_000)
            tell("list", 500_000, None)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == ["images.tar.gz: 1 of 3 MB", "images.tar.gz: 3 of 3 MB", "list: 0 MB"]

    def test_bars_on_a_terminal(self) -> None:
        script = (
            "from clary.cli.output import transfers\n"
            "with transfers() as t: t('images', 5, None); t('images', 2000, 2000); t('lists', 10, 10)"
        )
        seen, _ = on_a_terminal(script, stdout=False)
        assert "images" in seen
        assert "lists" in seen


def test_json_is_ascii_and_alone(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "é\udcff"})
    out, err = capsys.readouterr()
    assert out.isascii()
    assert json.loads(out) == {"name": "é\udcff"}
    assert err == ""


def test_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    note("by the way")
    assert capsys.readouterr() == ("", "by the way\n")


def test_rich_is_loaded_when_drawing_only() -> None:
    script = "import sys; import clary.cli.output as o; o.table('', ['a'], [[1]]); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_what_the_module_offers() -> None:
    assert all(callable(getattr(output, name)) for name in output.__all__)
