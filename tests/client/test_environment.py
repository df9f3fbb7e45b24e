"""The variables, and that shells read them as they were meant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.client.environment import DATA_PATH, HOOK, SHELLS, Changes, changes, keys
from clary.control import home
from clary.control.home import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server("http://127.0.0.1:4747", 1, "0.1.0", str(tmp_path), "eu-west-1", 0.0)


def test_what_the_sdks_read_is_set(server):
    values = changes(server, {}).values
    assert values["AWS_ENDPOINT_URL"] == values["CLARY_ENDPOINT"] == server.url
    assert values["AWS_DEFAULT_REGION"] == values["AWS_REGION"] == "eu-west-1"
    assert values["AWS_EC2_METADATA_DISABLED"] == "true"
    assert values["SAGEMAKER_SUPPRESS_V2_WARNING"] == "1"
    assert values["PYTHONPATH"] == str(HOOK)
    assert values["AWS_ACCESS_KEY_ID"]
    assert values["AWS_SECRET_ACCESS_KEY"]
    assert not {"NO_PROXY", "no_proxy"} & set(values)


def test_the_sdk_is_told_to_report_nothing(server):
    path = Path(changes(server, {}).values["SAGEMAKER_USER_CONFIG_OVERRIDE"])
    assert path.is_relative_to(server.home)
    assert "TelemetryOptOut: true" in path.read_text()
    before = path.stat().st_mtime_ns
    changes(server, {})
    assert path.stat().st_mtime_ns == before


def test_keys_are_those_of_the_home_where_it_has_some(server):
    ((name, secret),) = home.credentials(Path(server.home)).items()
    assert keys(Path(server.home)) == (name, secret)
    assert changes(server, {}).values["AWS_SECRET_ACCESS_KEY"] == secret


def test_the_python_path_is_kept_and_the_hook_stands_first_once(server):
    first = changes(server, {"PYTHONPATH": "/a:/b"}).values["PYTHONPATH"]
    assert first == f"{HOOK}:/a:/b"
    assert changes(server, {"PYTHONPATH": first}).values["PYTHONPATH"] == first


def test_a_data_path_is_kept_behind_ours(server):
    assert changes(server, {}).values["AWS_DATA_PATH"] == str(DATA_PATH)
    assert changes(server, {"AWS_DATA_PATH": "/mine:/other"}).values["AWS_DATA_PATH"] == f"{DATA_PATH}:/mine:/other"


def test_what_would_lead_elsewhere_is_taken_away(server):
    environ = {
        "AWS_PROFILE": "work",
        "AWS_ENDPOINT_URL": "http://elsewhere",
        "AWS_ENDPOINT_URL_S3": "http://minio",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_CONFIG_FILE": "/c",
        "HOME": "/h",
    }
    found = changes(server, environ)
    taken = {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"}
    assert set(found.unset) == taken
    applied = found.applied(environ)
    assert not taken & set(applied)
    assert applied["AWS_ENDPOINT_URL"] == server.url
    assert (applied["AWS_CONFIG_FILE"], applied["HOME"]) == ("/c", "/h")


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_does_not_come_between(server, name):
    values = changes(server, {name: "http://proxy:3128", "NO_PROXY": "intra,127.0.0.1"}).values
    assert values["NO_PROXY"] == values["no_proxy"] == "127.0.0.1,.amazonaws.com,.amazonaws.com.cn,intra"
    assert "NO_PROXY" not in changes(server, {name: ""}).values


VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)
READ = "import json, os, sys; json.dump([os.environ.get('X'), os.environ.get('Y')], sys.stdout)"


@settings(max_examples=15, deadline=None)
@given(VALUES)
def test_a_posix_shell_reads_any_value_as_it_is(value):
    _evaluates("sh", "sh", value)


@settings(max_examples=10, deadline=None)
@given(VALUES)
def test_fish_reads_any_value_as_it_is(value):
    _evaluates("fish", "fish", value)


def _evaluates(shell: str, program: str, value: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not here")
    script = Changes({"X": value}, ("Y",)).script(shell)
    environ = {"PATH": os.environ["PATH"], "Y": "still there", "HOME": "/nonexistent"}
    command = [program, "-c", f'{script}\n{sys.executable} -IS -c "{READ}"']
    done = subprocess.run(command, env=environ, capture_output=True, text=True, encoding="utf-8", timeout=30)
    assert json.loads(done.stdout) == [value, None], done.stderr


def test_powershell_lines_quote_quotes():
    script = Changes({"X": "it's $5"}, ("Y",)).script("powershell")
    assert script.splitlines() == ["Remove-Item Env:Y -ErrorAction Ignore", "$env:X = 'it''s $5'"]
    assert set(SHELLS) == {"sh", "fish", "powershell"}
