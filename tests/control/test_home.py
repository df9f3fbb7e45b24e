"""The home folder: one gateway at a time, and a note where it is."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat

import pytest

from clary.control import home
from clary.errors import UsageError


def test_a_second_gateway_is_refused_and_told_who_has_the_home(tmp_path):
    with (
        home.hold(tmp_path),
        pytest.raises(UsageError, match=f"process {os.getpid()}.*clary down"),
        home.hold(tmp_path),
    ):
        pass


def test_the_home_is_free_again_after_the_first(tmp_path):
    for _ in range(2):
        with home.hold(tmp_path):
            assert home.held(tmp_path)
    assert not home.held(tmp_path)


def _hold_and_die(folder, ready):
    with home.hold(folder):
        home.write_server(folder, "http://127.0.0.1:1", "us-east-1", "0")
        ready.set()
        os.kill(os.getpid(), 9)


def test_a_killed_gateway_leaves_the_home_free(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_hold_and_die, args=(tmp_path, ready))
    child.start()
    child.join()
    assert ready.is_set()
    assert home.read_server(tmp_path) is None  # though its note is still there
    with home.hold(tmp_path):
        pass


def test_the_note_tells_address_and_process(tmp_path):
    with home.hold(tmp_path):
        home.write_server(tmp_path, "http://127.0.0.1:4747", "eu-west-1", "1.2")
        server = home.read_server(tmp_path)
        assert server is not None
        assert (server.url, server.pid, server.region) == ("http://127.0.0.1:4747", os.getpid(), "eu-west-1")
    assert home.read_server(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', "{"])
def test_a_damaged_note_is_no_gateway(tmp_path, text):
    (tmp_path / "server.json").write_text(text)
    assert home.read_server(tmp_path) is None


def test_a_home_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another"), home.hold(tmp_path / "file"):
        pass


def test_credentials_are_made_once_and_private(tmp_path):
    first = home.credentials(tmp_path)
    assert home.credentials(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    ((key, secret),) = first.items()
    assert key.startswith("CLARY")
    assert len(secret) >= 32


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"access_key_id": "x"})])
def test_damaged_credentials_are_named(tmp_path, text):
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(UsageError, match=r"credentials\.json"):
        home.credentials(tmp_path)
