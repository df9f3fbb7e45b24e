"""The stream of a variant."""

from __future__ import annotations

import os
import re

import pytest

from clary.control.hosting.log import VariantLog
from clary.control.logs.streams import LogStore


def test_named_as_sagemaker_does(tmp_path):
    logs = LogStore(tmp_path)
    log = VariantLog(logs, "Pets", "AllTraffic")
    log.write("one", "two")
    log.close()
    (stream,) = logs.streams("/aws/sagemaker/Endpoints/Pets", "AllTraffic/")
    assert re.fullmatch(r"AllTraffic/i-[0-9a-f]{17}", stream.name)
    assert [event.message for event in logs.events("/aws/sagemaker/Endpoints/Pets", stream.name)] == ["one", "two"]


@pytest.mark.skipif(os.getuid() != 0 and not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_says_so(tmp_path):
    logs = LogStore(tmp_path)
    log = VariantLog(logs, "pets", "v")
    log.write("first")
    (path,) = (one for one in tmp_path.rglob("*") if one.is_file())
    log.close()
    kept = path.read_bytes()
    path.unlink()
    path.symlink_to("/dev/full")
    log.write("second", "third")
    log.write("fourth")
    path.unlink()
    path.write_bytes(kept)
    log.close()
    log.write("fifth")
    log.close()
    lines = [line.partition(" ")[2] for line in path.read_text().splitlines()]
    assert lines == ["first", "(3 lines could not be written)", "fifth"]
