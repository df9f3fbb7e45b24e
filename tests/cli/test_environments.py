"""``clary environments``."""

from __future__ import annotations

import json
import os
import sys

import pytest

from clary.cli.up import options
from clary.control.configuration import configuration_of
from clary.control.settings import Settings
from clary.toolkit import environments


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home whose clary.toml names two environments; what is installed is a name in a list."""
    (tmp_path / "tf.txt").write_text("tensorflow-cpu\n")
    (tmp_path / "clary.toml").write_text(
        f'[environments.tf]\nrequirements = "tf.txt"\n[environments.old]\npython = "{sys.executable}"\n'
    )
    monkeypatch.setattr(environments, "install", lambda *words, **options: None)
    return tmp_path


def test_listed_made_and_removed(home, cli):
    code, out, _ = cli("environments", "list", "--home", home)
    assert code == 0
    assert f"tf     {home / 'tf.txt'} (not made yet)" in out
    assert f"old    {sys.executable}" in out
    code, out, _ = cli("environments", "make", "tf", "--home", home)
    assert code == 0
    assert (home / "environments" / os.path.basename(out.strip())).is_symlink()
    code, out, _ = cli("environments", "list", "--home", home, "--json")
    found = {one["name"]: one for one in json.loads(out)}
    assert set(found) == {"clary", "tf", "old"}
    assert found["tf"]["made"] > 0
    assert cli("environments", "remove", "tf", "--home", home)[0] == 0
    assert "(not made yet)" in cli("environments", "list", "--home", home)[1]


def test_mistakes(home, cli):
    code, _, err = cli("environments", "make", "tff", "--home", home)
    assert (code, err.startswith("clary: clary.toml: there is no environment `tff`; there are tf, old, pytorch")) == (
        2,
        True,
    )
    code, _, err = cli("environments", "make", "old", "--home", home)
    assert "is there already; nothing is to be made" in err
    code, _, err = cli("environments", "remove", "tf", "--home", home)
    assert (code, "there is no environment" in err) == (2, True)
    assert "give names, or --all" in cli("environments", "remove", "--home", home)[2]
    assert cli("environments", "remove", "--all", "--home", home)[0] == 0


def test_up_refuses_a_wrong_clary_toml(home, cli, tmp_path):
    (home / "clary.toml").write_text('[[images]]\npattern = "mine:*"\nenviroment = "tf"\n')
    code, _, err = cli("up", "--home", home)
    assert code == 2
    assert err == f"clary: {home}/clary.toml:3: there is no key `enviroment`; did you mean environment?\n"
    code, _, err = cli("up", "--home", home, "--detach", "--config", tmp_path / "gone.toml")
    assert (code, "gone.toml: cannot be read" in err) == (2, True)
    assert not (home / "lock").exists()


def test_only_a_configuration_of_elsewhere_is_an_option(home, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("")
    assert "--config" not in options(Settings(home=home, configuration=configuration_of(home)))
    words = options(Settings(home=home, configuration=configuration_of(home, other)))
    assert words[words.index("--config") + 1] == str(other)
