"""``clary report``."""

from __future__ import annotations


def test_it_writes_and_prints_the_path(cli, colour_run):
    code, out, err = cli("report", colour_run)
    assert code == 0, err
    assert out == f"{colour_run / 'report.html'}\n"
    assert "Accuracy on test" in (colour_run / "report.html").read_text()


def test_what_is_no_run_gets_one_line(cli, tmp_path):
    code, out, err = cli("report", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"clary: {tmp_path}: is not a run")
    assert not (tmp_path / "report.html").exists()
