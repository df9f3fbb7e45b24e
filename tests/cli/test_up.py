"""``clary up``, ``down`` and ``status``: real gateways in their own processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clary.client import gateway
from clary.control.home import Server


def up(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "clary", "up", *map(str, words)]
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def status(server: Server, host: str) -> int:
    """What the gateway answers who asks for its list of buckets by the name ``host``."""
    return httpx.get(server.url, headers={"Host": host}).status_code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_says_what_to_do_next_and_stops_cleanly(tmp_path, number):
    process = up("--home", tmp_path, "--port", 0, "--no-warm", "--allowed-host", "a.lan", "--allowed-host", "*.b.lan")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        server = gateway.running(tmp_path)
        gateway.health(server)
        asked = [status(server, host) for host in ("a.lan:1", "x.b.lan", "localhost", "bucket.localhost", "b.lan")]
        assert asked == [200, 200, 200, 404, 421]  # of a bucket that is not there, the one but last
        assert f"up at {server.url}" in lines[0]
        assert f'eval "$(clary env --home {tmp_path})"' in "".join(lines)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    assert not (tmp_path / "server.json").exists()


@pytest.mark.slow
def test_detached_status_down(tmp_path, cli):
    code, out, err = cli("up", "--home", tmp_path, "--port", 0, "--no-warm", "--detach", "--allowed-host", "a.lan")
    assert (code, err) == (0, "")
    server = gateway.running(tmp_path)
    assert f"up at {server.url}" in out
    assert (status(server, "a.lan"), status(server, "b.lan")) == (200, 421)
    assert f"stop with clary down --home {tmp_path}" in out
    assert os.getsid(server.pid) == server.pid != os.getsid(0)
    try:
        code, out, _ = cli("status", "--home", tmp_path, "--json")
        found = json.loads(out)
        assert (code, found["url"], found["pid"]) == (0, server.url, server.pid)
        assert (found["jobs"], found["endpoints"]) == ({"running": 0, "queued": 0}, {})
        assert found["objects"] == str(tmp_path / "s3")
        code, out, _ = cli("status", "--home", tmp_path)
        assert server.url in out
        assert "0 running, 0 queued" in out
        for mode in ([], ["--detach"]):
            code, out, err = cli("up", "--home", tmp_path, "--port", 0, *mode)
            assert (code, err) == (0, "")
            assert f"the platform is up already at {server.url};" in out
            code, out, err = cli("up", "--home", tmp_path, "--port", 1, *mode)
            assert (code, err) == (0, f"options take effect after clary down --home {tmp_path}\n")
            assert f"up already at {server.url};" in out
            code, _, err = cli("up", "--home", tmp_path, "--substitute-weights", *mode)
            assert (code, err) == (0, f"options take effect after clary down --home {tmp_path}\n")
        assert gateway.running(tmp_path) == server
    finally:
        code, _, err = cli("down", "--home", tmp_path)
    assert code == 0
    assert f"stopped (process {server.pid})" in err
    code, _, err = cli("status", "--home", tmp_path)
    assert (code, err) == (2, f"clary: {tmp_path}: no platform runs on this home; start it with `clary up`\n")


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_taken_port_is_named(tmp_path, cli, detach):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = cli("up", "--home", tmp_path, "--port", port, "--no-warm", *detach)
    assert (code, out) == (2, "")
    assert (
        err == f"clary: 127.0.0.1:{port}: the port is taken; stop what listens there, or use --port 0 for a free one\n"
    )


def test_a_name_that_is_none_is_refused_before_anything_starts(tmp_path, cli):
    code, out, err = cli("up", "--home", tmp_path / "home", "--port", 0, "--allowed-host", "http://x:80")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--allowed-host: 'http://x:80' is no name of a host" in err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "words",
    [["down"], ["status"], ["env"], ["jobs"], ["logs", "x"], ["stop", "x"], ["endpoints"], ["status", "--json"]],
)
def test_where_none_runs_every_verb_says_how_to_start_one(tmp_path, cli, words):
    code, out, err = cli(*words, "--home", tmp_path)
    assert (code, out, err) == (2, "", f"clary: {tmp_path}: no platform runs on this home; start it with `clary up`\n")
    assert list(tmp_path.iterdir()) == []


def test_the_home_may_come_from_the_environment(tmp_path, cli, monkeypatch):
    monkeypatch.setenv("CLARY_HOME", str(tmp_path / "there"))
    assert f"{tmp_path}/there: no platform runs" in cli("status")[2]
    monkeypatch.setenv("CLARY_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"{tmp_path}/.clary: no platform runs" in cli("status")[2]


@pytest.mark.parametrize(("words", "variable"), [(["--substitute-weights"], None), ([], "1"), ([], None)])
def test_the_switch_for_weights_reaches_the_platform(words, variable, cli, tmp_path, monkeypatch):
    started: list[list[str]] = []

    def start(home, options):
        started.append(options)
        return Server("http://127.0.0.1:1", 1, "", str(home), "us-east-1", 0.0)

    monkeypatch.setattr(gateway, "start", start)
    monkeypatch.delenv("CLARY_SUBSTITUTE_WEIGHTS", raising=False)
    if variable:
        monkeypatch.setenv("CLARY_SUBSTITUTE_WEIGHTS", variable)
    code, _, err = cli("up", "--detach", "--home", tmp_path, *words)
    assert (code, err) == (0, "")
    assert ("--substitute-weights" in started[0]) == bool(words or variable)


def test_help_loads_nothing_of_the_platform():
    program = """
import sys
sys.argv = ["clary", "--help"]
try:
    __import__("clary.cli.main").cli.main.main()
except SystemExit:
    pass
print(sorted(m for m in sys.modules if m.partition(".")[0] in {"botocore", "uvicorn", "sqlalchemy", "numpy", "torch"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("[]\n"), done.stderr
    for verb in ("up", "down", "status", "env", "run", "lab", "jobs", "logs", "stop", "endpoints"):
        assert f"\n  {verb} " in done.stdout


def test_lab_names_the_extra_that_is_missing(tmp_path, cli, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = cli("lab", tmp_path, "--home", tmp_path)
    assert code == 2
    assert 'pip install "clary[lab]"' in err


def test_env_prints_lines_for_a_shell(platform_home, cli):
    server: Server = gateway.running(platform_home)
    code, out, err = cli("env", "--home", platform_home)
    assert (code, err) == (0, "")
    assert f"export AWS_ENDPOINT_URL={server.url}\n" in out
    assert "unset AWS_PROFILE\n" in out
    said = subprocess.run(["sh", "-c", f"{out}\necho $CLARY_ENDPOINT"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{server.url}\n"
    found = json.loads(cli("env", "--home", platform_home, "--json")[1])
    assert found["set"]["AWS_ENDPOINT_URL"] == server.url
    assert "AWS_PROFILE" in found["unset"]
    assert "$env:AWS_ENDPOINT_URL = " in cli("env", "--home", platform_home, "--shell", "powershell")[1]
    code, _, err = cli("env", "--home", platform_home, "--shell", "tcsh")
    assert (code, err) == (2, "clary: --shell: `tcsh` is no shell known here; use one of sh, fish, powershell\n")


def test_folders_with_spaces_can_be_typed_as_printed(tmp_path, cli):
    home = tmp_path / "my files"
    code, out, _ = cli("up", "--home", home, "--port", 0, "--no-warm", "--detach")
    try:
        assert code == 0
        assert f"clary jobs --home '{home}'" in out
    finally:
        gateway.stop(home)


def test_the_home_is_given_back_when_the_gateway_is_killed(tmp_path, cli):
    first = gateway.start(tmp_path, ["--port", "0", "--no-warm"])
    os.kill(first.pid, signal.SIGKILL)
    second = gateway.start(tmp_path, ["--port", "0", "--no-warm"])
    assert second.pid != first.pid
    assert Path(second.home) == tmp_path
    assert gateway.stop(tmp_path) == second.pid
