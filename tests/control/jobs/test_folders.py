"""Where jobs and their hosts keep their files."""

from __future__ import annotations

import os

from clary.control.jobs.folders import (
    claim,
    host_folder,
    host_names,
    job_folder,
    remove_below,
    remove_tree,
    stream_name,
)


def test_a_training_job_of_one_host_lies_where_it_always_did(settings):
    folder = job_folder(settings, "training-job", "pets")
    assert folder == settings.home / "jobs" / "pets"
    assert host_folder(folder, "algo-1") == folder
    assert stream_name("pets", "algo-1", 1_700_000_000.9) == "pets/algo-1-1700000000"


def test_further_hosts_and_other_kinds_have_places_of_their_own(settings):
    assert host_names(3) == ("algo-1", "algo-2", "algo-3")
    folder = job_folder(settings, "processing-job", "pets")
    assert folder == settings.home / "processing-jobs" / "pets"
    assert host_folder(folder, "algo-2") == folder / "algo-2"


def test_the_folder_of_a_deleted_job_is_not_taken_for_its_own(tmp_path):
    folder = tmp_path / "job"
    claim(folder, "arn 1")
    (folder / "exit.json").touch()
    claim(folder, "arn 1")
    assert (folder / "exit.json").exists()
    claim(folder, "arn 2")
    assert [path.name for path in folder.iterdir()] == ["created"]


class TestRemoveTree:
    def test_folders_that_may_not_be_looked_into(self, tmp_path):
        hidden = tmp_path / "job" / "work" / "work"
        hidden.mkdir(parents=True)
        (hidden / "file").touch()
        hidden.chmod(0)
        (tmp_path / "job" / "work").chmod(0o500)
        remove_tree(tmp_path / "job")
        assert list(tmp_path.iterdir()) == []

    def test_links_are_not_followed(self, tmp_path):
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "file").touch()
        (tmp_path / "job").mkdir()
        (tmp_path / "job" / "link").symlink_to(tmp_path / "kept")
        remove_tree(tmp_path / "job")
        remove_tree(tmp_path / "job")
        assert (tmp_path / "kept" / "file").exists()

    def test_nothing_is_removed_behind_a_link(self, tmp_path):
        """A job laid its output to where its owner has a folder called data, too."""
        (tmp_path / "home/data").mkdir(parents=True)
        (tmp_path / "home/data/mine").touch()
        (tmp_path / "job").mkdir()
        (tmp_path / "job/output").symlink_to(tmp_path / "home")
        remove_below(tmp_path / "job", "output/data")
        assert (tmp_path / "home/data/mine").exists()
        remove_below(tmp_path / "job", "output")
        assert os.listdir(tmp_path / "job") == []
        assert (tmp_path / "home/data/mine").exists()
