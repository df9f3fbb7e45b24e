"""Environments of clients: whole or not there, made once, each for its requirements. Nothing is installed here."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from . import clients


class Installer:
    """Stands for venv and pip: leaves a Python, and can be told to break off as pip does, or as if killed."""

    def __init__(self) -> None:
        self.runs = 0
        self.broken: BaseException | None = None

    def __call__(self, command: Sequence[str], **options: Any) -> None:
        self.runs += 1
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir()
            (Path(command[-1]) / "bin" / "python").touch()
        elif self.broken:
            raise self.broken


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    found = Installer()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "tool.txt").write_text("tool==1\n")
    monkeypatch.setattr(clients, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(clients, "NAMES", ("tool",))
    monkeypatch.setattr(subprocess, "run", found)
    monkeypatch.setenv("CLARY_CLIENTS", str(tmp_path / "clients"))
    return found


def test_it_is_made_once(installer: Installer) -> None:
    place = clients.make("tool")
    assert place == clients.location("tool")
    assert clients.is_whole(place)
    runs = installer.runs
    assert clients.make("tool") == place
    assert installer.runs == runs


def test_other_requirements_are_another(installer: Installer, tmp_path: Path) -> None:
    first = clients.make("tool")
    (tmp_path / "requirements" / "tool.txt").write_text("tool==2\n")
    assert clients.location("tool") != first
    assert not clients.is_whole(clients.location("tool"))
    assert clients.make("tool") != first
    assert clients.is_whole(first)


def test_one_that_fails_is_not_there_and_leaves_nothing(
    installer: Installer, capfd: pytest.CaptureFixture[str]
) -> None:
    installer.broken = subprocess.CalledProcessError(1, "pip")
    with pytest.raises(SystemExit, match=r"tool\.txt: could not be installed \(exit code 1\), see above"):
        clients.make("tool")
    assert not clients.is_whole(clients.location("tool"))
    assert [path.suffix for path in clients.root().iterdir()] == [".lock"]


def test_what_a_kill_left_is_replaced(installer: Installer) -> None:
    installer.broken = KeyboardInterrupt()  # nothing is tidied up
    with pytest.raises(KeyboardInterrupt):
        clients.make("tool")
    place = clients.location("tool")
    (left,) = clients.root().glob("tool-*.build-*")
    assert (left / "bin" / "python").exists()
    assert not clients.is_whole(place)
    installer.broken = None
    clients.make("tool")
    assert clients.is_whole(place)
    assert not left.exists()


def test_one_whose_python_is_gone_is_made_again(installer: Installer) -> None:
    place = clients.make("tool")
    (place / "bin" / "python").unlink()
    assert not clients.is_whole(place)
    clients.make("tool")
    assert clients.is_whole(place)


def test_several_at_once_make_one(installer: Installer) -> None:
    threads = [threading.Thread(target=clients.make, args=["tool"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clients.is_whole(clients.location("tool"))
    assert installer.runs == 2  # venv, pip


def test_all_can_be_removed(installer: Installer) -> None:
    clients.make_all()
    clients.remove_all()
    assert not clients.is_whole(clients.location("tool"))
    assert [path.suffix for path in clients.root().iterdir()] == [".lock"]


def test_the_folder_is_that_of_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLARY_CLIENTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert clients.root() == tmp_path / "clary" / "clients"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert clients.root() == Path.home() / ".cache" / "clary" / "clients"
