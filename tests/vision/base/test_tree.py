"""Folders of others: nothing is followed, nothing waits, and what was looked at is what is read."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from clary.errors import CustomerError
from clary.vision.base import tree
from clary.vision.base.tarpack import pack
from clary.vision.base.tree import DEPTH, opened


def names(root: Path, *parts: str, **options) -> list[str]:
    with opened(root, *parts) as found:
        return [entry.name for entry in found.entries(**options)]


def test_a_folder_comes_before_what_is_in_it_and_names_in_order(tmp_path):
    for name in ("b/z", "b/a", "a.txt", "b.txt", "b/.hidden", ".hidden/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == [".hidden", ".hidden/x", "a.txt", "b", "b/.hidden", "b/a", "b/z", "b.txt"]
    assert names(tmp_path, hidden=False) == ["a.txt", "b", "b/a", "b/z", "b.txt"]
    assert names(tmp_path, "b") == [".hidden", "a", "z"]


def test_a_part_that_is_a_link_or_no_folder_is_named(tmp_path):
    (tmp_path / "away").mkdir()
    (tmp_path / "tree/a").mkdir(parents=True)
    (tmp_path / "tree/a/link").symlink_to(tmp_path / "away")
    (tmp_path / "tree/a/file").touch()
    with pytest.raises(CustomerError, match=r"tree/a/link: is a symbolic link"), opened(tmp_path / "tree", "a", "link"):
        pass
    with pytest.raises(CustomerError, match=r"tree/a/file: is no folder"), opened(tmp_path / "tree", "a", "file", "b"):
        pass
    with pytest.raises(FileNotFoundError), opened(tmp_path / "tree", "a", "nothing"):
        pass


def test_what_is_refused_can_be_told_at_the_end(tmp_path):
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b").touch()
    (tmp_path / "c").symlink_to("/etc/passwd")
    refused: list[CustomerError] = []
    assert names(tmp_path, refused=refused.append) == ["b"]
    assert [Path(error.where).name for error in refused] == ["a", "c"]


def test_a_file_of_several_names_has_all_of_them_inside(tmp_path):
    (tmp_path / "tree/input").mkdir(parents=True)
    (tmp_path / "outside").touch()
    (tmp_path / "tree/a").touch()
    os.link(tmp_path / "tree/a", tmp_path / "tree/b")
    with opened(tmp_path / "tree", own=True) as found:
        assert [entry.name for entry in found.entries()] == ["a", "b", "input"]
    for elsewhere in ("outside", "tree/input/c"):
        (tmp_path / elsewhere).unlink(missing_ok=True)
        os.link(tmp_path / "tree/a", tmp_path / elsewhere)
        with opened(tmp_path / "tree", own=True) as found, pytest.raises(CustomerError, match="a: is a hard link"):
            list(found.entries())
        (tmp_path / elsewhere).unlink()


def test_folders_in_folders_have_an_end(tmp_path):
    tmp_path.joinpath(*["d"] * (DEPTH + 1), "e").mkdir(parents=True)
    with pytest.raises(CustomerError, match=f"lies in more than {DEPTH} folders"):
        names(tmp_path)


def test_an_entry_stays_what_it_was_when_its_name_leads_elsewhere(tmp_path):
    (tmp_path / "a").write_text("mine")
    with opened(tmp_path) as found:
        for entry in found.entries():
            (tmp_path / "a").unlink()
            (tmp_path / "a").symlink_to("/etc/passwd")
            assert entry.path.read_text() == "mine"


@pytest.mark.parametrize(
    "target",
    ["epoch-3", "./epoch-3", "sub/../epoch-3", "again", "/shown/tree/epoch-3", "{tree}/epoch-3", "sub/up", ".hidden"],
)
def test_a_link_to_a_file_of_the_same_tree_is_that_file(tmp_path, target):
    """PyTorch Lightning leaves ``last.ckpt`` so."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    for name in ("epoch-3", ".hidden"):
        (root / name).write_text("weights")
    (root / "again").symlink_to("epoch-3")
    (root / "sub/up").symlink_to("../again")
    (root / "last").symlink_to(target.format(tree=root))
    with opened(tmp_path, "tree", shown=Path("/shown"), own=True) as found:
        said = {entry.name: entry.path.read_text() for entry in found.entries() if entry.name == "last"}
    assert said == {"last": "weights"}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/etc/passwd", "outside its folder"),
        ("../outside", "outside its folder"),
        ("sub/../../outside", "outside its folder"),
        ("{tree}-2/x", "outside its folder"),
        ("{tree}/../outside", "outside its folder"),
        ("a/x", "tree/a: is a symbolic link"),
        ("a/../../outside", "tree/a: is a symbolic link"),
        ("sub", "is a symbolic link to a folder"),
        (".", "is a symbolic link to a folder"),
        ("last", "to more than 8 others"),
        ("pipe", "is a FIFO"),
        ("hard", "is a hard link"),
    ],
)
def test_other_links_are_refused_by_name(tmp_path, target, said):
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    for path in (tmp_path / "outside", tmp_path / "tree-2/x", tmp_path / "away/x"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
    (root / "a").symlink_to(tmp_path / "away")
    os.mkfifo(root / "pipe")
    os.link(tmp_path / "outside", root / "hard")
    (root / "last").symlink_to(target.format(tree=root))
    refused: list[str] = []
    with opened(root, own=True) as found:
        taken = [entry.name for entry in found.entries(refused=lambda error: refused.append(str(error)))]
    assert taken == ["sub"]
    assert any(said in one for one in refused)
    assert any(one.startswith((str(root / "last"), str(root / "a"))) for one in refused)


def test_a_link_that_leads_nowhere_is_left_out(tmp_path):
    (tmp_path / "last").symlink_to("removed/epoch-1")
    (tmp_path / "next").touch()
    assert names(tmp_path) == ["next"]


def test_an_archive_holds_the_file_that_a_link_names(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/best").write_text("weights")
    (tmp_path / "model/last").symlink_to("best")
    with tarfile.open(pack(tmp_path / "model", tmp_path / "model.tar.gz")) as tar:
        assert [(member.name, member.isfile(), member.size) for member in tar] == [("best", True, 7), ("last", True, 7)]


def test_an_archive_of_a_folder_that_holds_a_link_is_not_made(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/link").symlink_to("/etc/passwd")
    with pytest.raises(CustomerError, match=r"model/link: is a symbolic link"):
        pack(tmp_path / "model", tmp_path / "model.tar.gz")
    assert os.listdir(tmp_path) == ["model"]


def test_where_nothing_is_opened_by_descriptor_an_archive_is_the_same(tmp_path, monkeypatch):
    for name in ("b/z", "a.txt", "b.txt", "empty/x"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text(name)
    usual = pack(tmp_path / "model", tmp_path / "usual").read_bytes()
    monkeypatch.setattr(tree, "_BY_DESCRIPTOR", False)
    assert pack(tmp_path / "model", tmp_path / "other").read_bytes() == usual
    (tmp_path / "model/link").symlink_to("/etc/passwd")
    with pytest.raises(CustomerError, match=r"model/link: is a symbolic link"):
        pack(tmp_path / "model", tmp_path / "other")
