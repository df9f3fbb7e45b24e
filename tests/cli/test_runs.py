"""``clary runs``."""

from __future__ import annotations

import json

COLUMNS = ["name", "algorithm", "network", "state", "metric", "epochs", "started", "duration"]


def test_runs_are_listed_with_what_they_reached(cli, colour_run):
    code, out, err = cli("runs", colour_run.parent)
    assert code == 0, err
    heading, row = out.splitlines()
    assert heading.split() == COLUMNS
    assert row.startswith(colour_run.name)
    assert "finished" in row
    assert "validation:accuracy 0.9000" in row
    assert row.endswith("6.5 s")


def test_as_json_for_programs(cli, colour_run):
    code, out, err = cli("runs", colour_run.parent, "--json")
    assert code == 0, err
    (record,) = json.loads(out)
    assert record["path"] == str(colour_run)
    assert (record["state"], record["metric"], record["value"], record["epochs"]) == (
        "finished",
        "validation:accuracy",
        0.9,
        3,
    )


def test_a_damaged_run_does_not_hide_the_others(cli, colour_run):
    damaged = colour_run.parent / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    code, out, err = cli("runs", colour_run.parent)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert err.startswith(f"left out: {damaged / 'config.json'}: is not JSON")


def test_a_folder_without_runs_says_so(cli, tmp_path):
    code, out, err = cli("runs", tmp_path)
    assert (code, out.split()) == (0, COLUMNS)
    assert err == f"no runs in {tmp_path}; `clary train` writes one\n"


def test_a_folder_that_is_not_there_gets_one_line(cli, tmp_path):
    code, out, err = cli("runs", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert err.startswith(f"clary: {tmp_path / 'nothing'}: there is no such folder")


def test_what_is_damaged_or_missing_is_said(cli, colour_run, tmp_path):
    with (colour_run / "metrics.jsonl").open("a") as file:
        file.write("torn\nand again\n")
    for name in ("missing", "a folder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").touch()
    (tmp_path / "a folder" / "config.json").mkdir()
    (tmp_path / "holiday").mkdir()
    code, out, err = cli("runs", tmp_path)
    assert code == 0
    assert len(out.splitlines()) == 2
    first, *rest = err.splitlines()
    assert first == f"2 lines left out: {colour_run}/metrics.jsonl:5: is not a record of metrics"
    assert rest == [
        f"left out: {tmp_path}/a folder/config.json: is no file; train again into a new folder",
        f"left out: {tmp_path}/missing/config.json: there is no such file; train again into a new folder",
    ]
